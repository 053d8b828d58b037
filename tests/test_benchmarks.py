"""The benchmarks say how they are run, tell what was not measured, and need what they say alone."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.gpu import STEPS, Run, Size, written
from tests.benchmarks.gpu_tables import PRECISIONS, as_markdown
from tests.helpers import small_cache

INFERENCE = {
    "batch 128": {
        **{precision: {"uploaded": 1000.0, "on_card": 2000.0} for precision in PRECISIONS},
        "seconds_compiling": 3.0,
    }
}
WAY = {
    **dict.fromkeys(("decode", "engine_busy", "write", "gpu_gb", "host_gb"), 1.0),
    **{"options": "", "device": "gpu", "images_per_second": 4258.0, "gpu_busy_percent": None},
    **{"wall": 5.0, "command_seconds": 25.0},
}


def test_what_a_run_did_not_come_to_is_not_measured() -> None:
    assert as_markdown({}).count("not measured") == 12
    text = as_markdown({"inference": INFERENCE, "extract": {"default": WAY}})
    assert "| 128 " + "| 1,000 / 2,000 " * 4 + "| 3 s |" in text
    assert "| default (none; gpu) | 4,258 |" in text
    assert "| 1.3 min |" in text  # 20 s to open, 60 s to extract
    assert text.count("not measured") == 10


def test_every_row_of_a_table_is_as_wide_as_its_head() -> None:
    cut = {"default": WAY, "16 bits": {"cut_short": "9 in 60 s"}}
    for table in as_markdown({"inference": INFERENCE, "extract": cut}).split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, table


@pytest.fixture
def peers(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as it runs: its folder on the path, since a peer may bring a package `tests`."""
    monkeypatch.syspath_prepend(str(checkout / "tests" / "benchmarks"))
    return importlib.import_module("peers")


def test_a_peer_that_did_not_run_is_not_measured_and_the_others_show_medians(peers: Any) -> None:
    one = {"n": 100, "wall": 2.0, "cores": 3.0, "mb": 500.0, "broken": "stops: OSError"}
    rounds = [one, {**one, "wall": 4.0}, {**one, "wall": 5.0}]
    two = {"n": 9, "wall": 7.25, "cores": 14.0, "mb": 900.0, "srcc": 0.5}
    text = peers.tables({**{name: [] for name in peers.WAYS}, "torch": rounds, "RidgeCV": [two]})
    assert "| torch | 25 | 30.0 | 500 | stops: OSError |" in text
    assert "| RidgeCV | 7.2 | 14 | 900 | 0.500 |" in text
    assert text.count("not measured") == len(peers.WAYS) - 2


def test_the_memory_of_a_process_is_counted_with_that_of_its_children(peers: Any) -> None:
    holds = "x = bytearray(60 << 20); print('held', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=-1, stdout=-1, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        assert 60 < peers.megabytes(process.pid) < 120
        process.communicate(b"\n")


def _imported(checkout: Path, path: Path, seen: set[Path]) -> set[str]:
    """Return the packages that a file imports, in functions too, itself or by modules of tests/."""
    if path in seen:
        return set()
    seen.add(path)
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    ours = [checkout / f"{name.replace('.', '/')}.py" for name in names if name[:6] == "tests."]
    nested = (_imported(checkout, each, seen) for each in ours)
    return {name.split(".")[0] for name in names}.union(*nested)


def test_the_benchmarks_need_no_package_that_only_tests_need(checkout: Path) -> None:
    scripts = sorted((checkout / "tests" / "benchmarks").glob("*.py"))
    imported = set().union(*(_imported(checkout, path, set()) for path in scripts))
    assert {"numpy", "cache", "heads"} <= imported
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    dev = {re.split(r"[>=\[]", name)[0] for name in project["optional-dependencies"]["dev"]}
    assert "pytest" in dev
    # gpu.sh says that it needs JAX, rehearsal.py that --steps dask needs the extra dask, and
    # peers.py what the peers' own environment holds.
    assert imported & dev <= {"jax", "distributed", "onnxruntime"}


def test_each_measurement_is_kept_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, tmp_path, Size())
    run.keep("decode", {"1 threads": 1})
    run.keep("decode", {"4 threads": 2})
    run.keep("heads", {"n": 3})
    assert run.results == {"decode": {"1 threads": 1, "4 threads": 2}, "heads": {"n": 3}}


def test_photographs_of_an_extraction_that_was_cut_short_are_counted(tmp_path: Path) -> None:
    small_cache(tmp_path / "val.h5", 7)
    small_cache(tmp_path / "train.h5", 20).rename(tmp_path / "train.h5.partial")
    (tmp_path / "test.h5.partial").write_bytes(b"hardly begun")
    assert written(tmp_path) == 27


def test_the_script_runs_every_step_and_says_what_it_needs(checkout: Path) -> None:
    script = checkout / "tests" / "benchmarks" / "gpu.sh"
    limited = re.findall(r"^step (\S+) \d+$", script.read_text(), re.MULTILINE)
    assert limited == list(STEPS)
    done = subprocess.run(
        ["bash", str(script), "--help"], capture_output=True, text=True, check=True
    )
    for word in ("pip download", "keras namex optree", "WHEELS", "OUT"):
        assert word in done.stdout
    refused = subprocess.run(["bash", str(script), "--large"], capture_output=True, check=False)
    assert refused.returncode == 2
