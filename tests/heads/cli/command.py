"""The `heads` command in this process, and when a run was written."""

from __future__ import annotations

from pathlib import Path

from heads.cli import main as cli


def heads(*arguments: object) -> int:
    """Run the command in this process; wrong usage comes back as its exit code."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def stamp(run: Path) -> int:
    """Return when a run was written, in nanoseconds."""
    return (run / "config.json").stat().st_mtime_ns
