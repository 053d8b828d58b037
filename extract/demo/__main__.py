"""Lets `python -m extract.demo` run the command."""

from __future__ import annotations

import sys

from extract.demo.cli import main

if __name__ == "__main__":
    sys.exit(main())
