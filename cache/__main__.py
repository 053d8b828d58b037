"""`python -m cache` is the `cache` command."""

import sys

from cache.cli import main

sys.exit(main())
