"""`python -m heads` is the `heads` command."""

import sys

from heads.cli import main

sys.exit(main())
