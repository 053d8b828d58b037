"""`python -m heads` is the `heads` command."""

import sys

from heads.cli.main import main

sys.exit(main())
