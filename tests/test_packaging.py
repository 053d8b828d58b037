"""The wheel that users install holds the three commands and works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATA_ENDINGS = (".css", ".js", ".html", ".svg", ".json", ".md")
SOURCES = ("extract", "cache", "heads", "pyproject.toml", "README.md", "LICENSE")


def pip(*arguments: str) -> None:
    """Run pip and fail with what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that the checkout gets no build folder."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (checkout / name).is_dir():
            shutil.copytree(
                checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(checkout / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(out), str(source))
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m ARGUMENTS` with the installed wheel, never the checkout, on the path."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_every_module_and_no_test(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        scripts = archive.read(entry).decode()
        metadata = archive.read(entry.replace("entry_points.txt", "METADATA")).decode()
    for package in ("extract", "cache", "heads"):
        wanted = {
            path.relative_to(checkout).as_posix() for path in (checkout / package).rglob("*.py")
        }
        assert wanted <= names
        module = "heads.cli.main" if package == "heads" else f"{package}.cli"
        assert f"{package} = {module}:main" in scripts
    assert not [name for name in names if name.startswith("tests/")]
    assert "Private :: Do Not Upload" in metadata


def test_the_wheel_holds_what_is_not_python_too(wheel: Path, checkout: Path) -> None:
    data = {
        path.relative_to(checkout).as_posix()
        for package in ("extract", "cache", "heads")
        for path in (checkout / package).rglob("*")
        if path.suffix in DATA_ENDINGS
    }
    templates = {
        "heads/report/templates/report.html",
        "heads/report/templates/report.js",
        "heads/scoring/templates/gallery.css",
        "heads/web/templates/theme.css",
    }
    assert {"cache/FORMAT.md", *templates} <= data
    with zipfile.ZipFile(wheel) as archive:
        assert data <= set(archive.namelist())


@pytest.mark.parametrize("module", ["extract", "cache", "heads", "extract.demo"])
def test_an_installed_command_answers_away_from_the_checkout(
    installed: Path, tmp_path: Path, module: str
) -> None:
    done = run(installed, tmp_path, module, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage:")


def test_the_installed_copy_is_what_runs(installed: Path, tmp_path: Path) -> None:
    code = "import cache, extract, heads; print(cache.__file__, extract.__file__, heads.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(installed)) for path in done.stdout.split())


def test_the_installed_heads_can_be_listed(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "heads", "list")
    assert done.returncode == 0, done.stderr
    for head in ("emd", "sigmoid", "tanh", "binary", "columns", "constant", "mean-ratings"):
        assert head in done.stdout
    for head in ("logistic", "ridge", "ridge-dist"):
        assert head in done.stdout


def test_an_installed_command_reports_a_problem_in_one_line(
    installed: Path, tmp_path: Path
) -> None:
    done = run(installed, tmp_path, "cache", "info", "nowhere.h5")
    assert done.returncode == 1
    assert "nowhere.h5" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
