"""Lets `python -m extract.demo` run the command."""

import sys

from extract.demo.cli import main

sys.exit(main())
