"""Tests mirror the code: every module has its test file by its name, and no test file has none."""

from __future__ import annotations

from pathlib import Path

PACKAGES = ("extract", "cache", "heads")
NO_TESTS = ("__init__.py", "__main__.py")

# Modules whose tests lie elsewhere, and where.
ELSEWHERE = {
    "extract/errors.py": "tests/cache/test_errors.py looks at the errors of all packages",
    "heads/errors.py": "tests/cache/test_errors.py looks at the errors of all packages",
    "heads/scoring/records.py": "plain records, made by scorer and ranking and tested there",
}

# Test files of more than one module, or of a scenario, and why they are files of their own.
SCENARIOS = {
    "cache/test_compat.py": "files that earlier versions wrote stay readable",
    "cache/test_kill.py": "a writer killed at any moment",
    "cache/test_kill_folder.py": "a folder being published, killed at any moment",
    "cache/test_folders.py": "folders that are replaced in one step, by cache.files",
    "cache/test_full_disk.py": "disks that are full or read-only, mounted for it",
    "cache/test_failing_disk.py": "merging and exporting on a disk that fails at any call",
    "extract/run/test_failing_disk.py": "an extraction on a disk that fails at any call",
    "extract/run/test_kill.py": "an extraction killed and interrupted at any moment",
    "extract/run/test_scale.py": "AVA at its real size: time and memory",
    "extract/run/test_shards.py": "shards extracted apart and merged by cache.merge",
    "extract/test_without_tensorflow.py": "a whole extraction on Keras' other backend",
    "heads/cli/test_outputs.py": "what no command replaces",
    "heads/models/test_contract.py": "what every registered head must do, whichever it is",
    "heads/report/test_in_browser.py": "the page's script, run by a browser",
    "heads/test_failing_disk.py": "runs and their outputs on a disk that fails at any call",
    "heads/runs/test_tampered.py": "every file of a run damaged in every way",
    "heads/test_public_names.py": "the public names of heads/__init__.py",
}


def wanted(checkout: Path) -> dict[str, str]:
    """Return the test file of every module, both below their package's parent."""
    modules = [path for name in PACKAGES for path in (checkout / name).rglob("*.py")]
    named = [path.relative_to(checkout) for path in modules if path.name not in NO_TESTS]
    return {str(path): str(path.with_name(f"test_{path.name}")) for path in named}


def found(checkout: Path) -> set[str]:
    """Return the test files of all packages."""
    tests = checkout / "tests"
    paths = [path for name in PACKAGES for path in (tests / name).rglob("test_*.py")]
    return {str(path.relative_to(tests)) for path in paths}


def test_every_module_has_a_test_file_of_its_name(checkout: Path) -> None:
    files = found(checkout)
    bare = {module for module, test in wanted(checkout).items() if test not in files}
    assert bare == set(ELSEWHERE)


def test_every_test_file_has_a_module_or_says_what_it_plays(checkout: Path) -> None:
    assert found(checkout) - set(wanted(checkout).values()) == set(SCENARIOS)
