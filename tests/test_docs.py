"""The documents' commands and Python examples, run for real on a small set of photographs.

Every command line of the documents is either in RUN, and run here as it is written, or in NOT_RUN
with the reason; tests/test_readme.py gives all of them to the program's own parsers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documents import CHECKOUT, PAGES, command_lines, python_blocks, read
from tests.heads.studio import picture, save_pictures, votes

pytestmark = pytest.mark.slow

# In this order: what each leaves behind, or says on stdout.
RUN: Mapping[str, str | Path] = {
    "extract --split all --data shop --dry-run": "photographs",
    "extract --split all --data shop": Path("features/test.h5"),
    "cache info features/train.h5": "mobilenet_v2",
    "cache verify features/train.h5": "sound",
    "cache export features/train.h5 --to npz": Path("features/train.npz"),
    "heads train ridge": Path("runs/ridge/model.npz"),
    "heads train logistic --labels hard": Path("runs/logistic/model.npz"),
    "heads train emd": Path("runs/emd/model.npz"),
    "heads train --config runs/emd/config.json": "runs/emd: emd",
    "heads list": "emd",
    "heads report": Path("runs/report.html"),
    "heads predict runs/ridge --split val --out val.csv": Path("val.csv"),
    "heads score runs/emd photos/ --gallery ranked.html": Path("ranked.html"),
    "heads score runs/ridge shop/items --group-by folder": "item-00",
    "heads score runs/ridge photos/ --group-by near --gallery bursts.html": Path("bursts.html"),
    "heads score runs/ridge photos/ --top 100 --copy-to best": Path("best"),
    "heads explain runs/ridge photo.jpg": Path("photo-explained.png"),
}

AVA = "AVA is not here; tests/extract/labels/test_ava.py reads a small set in its layout"
IMPORT = "needs vectors made elsewhere; tests/extract/run/test_importing.py"
BENCHMARK = "takes minutes, and what it prints is read by people"
LONG = "trains for longer than a test of documents may take; "
NOT_RUN: Mapping[str, str] = {
    "./run.sh": "tests/test_run_sh.py runs it",
    "./run.sh test": "runs this test",
    "./run.sh test tests/cache/test_store.py": "runs tests inside of a test",
    './run.sh test -k "collapsed or floor"': "runs tests inside of a test",
    ". .venv/bin/activate": "the tests run in an environment already",
    "ruff check . && ruff format --check . && mypy && lint-imports": "tests/test_style.py",
    "extract --split all --dry-run": AVA,
    "extract --split all": AVA,
    "extract --split all --limit 5000 --out features-5000": AVA,
    "heads compare --features features-5000 --out runs-5000": AVA,
    "extract --split all --device gpu": "needs a GPU",
    "pip install -e '.[gpu]'": "needs a network and a GPU",
    "extract --split all --data shop --views ten --layers multi --out features-ten": (
        "ten times as long as the centre; tests/extract/run/test_extract.py"
    ),
    "extract --split all --precision bfloat16 --out features-bfloat16": (
        "slow where the processor has no bfloat16; tests/extract/backbones/test_engines.py"
    ),
    "cache merge features/train.h5 features/train.shard-*.h5": (
        "needs shards of several machines; tests/extract/run/test_shards.py"
    ),
    "heads compare --features features-clip --out runs-clip": IMPORT,
    "cache import features-clip --features clip.npz --labels shop/labels.csv "
    "--extractor clip-vit-b32": IMPORT,
    "cache import again --features features/train.npz features/val.npz features/test.npz "
    "--extractor mobilenet": IMPORT,
    "heads compare": LONG + "tests/test_run_sh.py runs it",
    "heads compare --heads emd,logistic,mypackage.heads:make_boosted": (
        "needs such a package; tests/heads/models/own/test_entry.py"
    ),
    "heads compare --limit 5000 --seeds 4 --out runs-5000": LONG
    + "tests/heads/cli/test_compare.py",
    "heads compare --preset blog --limit 5000 --seeds 4 --out runs-blog": (
        LONG + "tests/heads/cli/test_compare.py"
    ),
    "heads compare --folds 5 --fold-seeds 3": LONG + "tests/heads/cli/test_compare.py",
    "heads train emd --hidden 512,128": LONG + "the default network is run here",
    "heads sweep emd --lr 1e-4,3e-4 --dropout 0.3,0.5": (LONG + "tests/heads/cli/test_sweep.py"),
    "heads curve emd --sizes 1000,5000,20000,all": LONG + "tests/heads/cli/test_curve.py",
    "heads score runs/emd photos/": "the same with --gallery is run here",
    "heads score runs/emd photos/ --group-by folder": "the same with runs/ridge is run here",
    "heads score runs/ridge runs/emd photos/ --format csv": "tests/heads/scoring/test_scorer.py",
    "heads export runs/emd --to saved-model": "takes a minute; tests/heads/export/test_formats.py",
    "heads export runs/ridge --to keras": "takes a minute; tests/heads/export/test_formats.py",
    "python tests/benchmarks/stage_one.py": BENCHMARK,
    "python tests/benchmarks/stage_two.py": BENCHMARK,
}


# Runs command lines and then examples, each in a namespace of its own, in one process, which loads
# TensorFlow once; writes down for each command its exit code and what it printed, and how the
# examples ended.
COMMANDS = """
import json, os, shlex, sys, traceback
import cache.cli, extract.cli, heads.cli.main
mains = {"cache": cache.cli.main, "extract": extract.cli.main, "heads": heads.cli.main.main}
said, failed = {}, ""
lines, examples = json.loads(sys.argv[1])
for line in lines:
    print("$", line, file=sys.stderr, flush=True)
    with open("stdout.txt", "w+") as out:
        os.dup2(out.fileno(), 1)
        name, *arguments = shlex.split(line)
        code = mains[name](arguments)
        sys.stdout.flush()
        out.seek(0)
        said[line] = code, out.read()
for example in examples:
    try:
        exec(compile(example, "example", "exec"), {"__name__": "example"})
    except Exception:
        failed = example + traceback.format_exc()
        break
with open("said.json", "w") as file:
    json.dump([said, failed], file)
"""


def examples() -> list[str]:
    """Return the documents' Python."""
    return [block for page in PAGES for block in python_blocks(read(CHECKOUT, page))]


@dataclass(frozen=True)
class Place:
    """A folder with what the documents speak of: shop/, photos/, photo.jpg, a.jpg, b.jpg."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Place:
        lines = ["file,group,r1,r2,r3,r4,r5"]
        for number in range(80):
            item = f"item-{number // 2:02}"
            path = folder / "shop" / "items" / item / f"{number % 2}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(path)
            lines.append(f"items/{item}/{path.name},{item},{votes(number)}")
        (folder / "shop" / "labels.csv").write_text("\n".join(lines) + "\n")
        save_pictures(folder / "photos", range(100, 106))
        for number, name in enumerate(("photo", "a", "b")):
            picture(110 + number).save(folder / f"{name}.jpg")
        return cls(folder)

    def run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        """Run Python with arguments in the folder, on this checkout."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.make(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def done(place: Place) -> dict[str, str]:
    """What each command of RUN said on stdout, of which none failed; how the examples failed."""
    ran = place.run(["-W", "error", "-c", COMMANDS, json.dumps([list(RUN), examples()])])
    assert ran.returncode == 0, ran.stderr[-3000:]
    said, failed = json.loads((place.folder / "said.json").read_text())
    assert {code for code, _ in said.values()} == {0}, ran.stderr[-3000:]
    return {"examples": failed, **{line: stdout for line, (_, stdout) in said.items()}}


@pytest.mark.parametrize("line", RUN)
def test_a_documented_command_does_what_the_page_says(
    line: str, place: Place, done: dict[str, str]
) -> None:
    wanted = RUN[line]
    if isinstance(wanted, Path):
        assert (place.folder / wanted).exists()
    else:
        assert wanted in done[line]


def test_the_python_examples_run(done: dict[str, str]) -> None:
    assert len(examples()) >= 3
    assert not done["examples"]


def test_every_documented_command_is_run_or_says_why_not(checkout: Path) -> None:
    documented = {line for page in PAGES for line in command_lines(read(checkout, page))}
    assert documented == {*RUN, *NOT_RUN}
    assert not set(RUN) & set(NOT_RUN)


def test_the_tests_that_are_named_instead_are_there(checkout: Path) -> None:
    named = {word.rstrip(";") for why in NOT_RUN.values() for word in why.split() if ".py" in word}
    assert named
    for name in named:
        assert (checkout / name).is_file(), name
