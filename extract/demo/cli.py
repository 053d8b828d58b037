"""`python -m extract.demo DIR`: a small set with simulated votes, to try everything at once.

Owns the folder: labels.csv, images/, the note about the votes. The pictures come from
`extract.demo.pictures`, the votes from `extract.demo.votes`; both are imported when needed, so that
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache import console
from cache.errors import StorageError
from cache.files import replacing_folder
from cache.text import shown

if TYPE_CHECKING:
    from extract.demo.plan import Plan

LABEL_NOTE = "votes are simulated by a model of raters"
STAMP = "demo.json"
MIN_PHOTOGRAPHS, MAX_PHOTOGRAPHS, DEFAULT_PHOTOGRAPHS = 100, 50_000, 1500
HTML_PAGE = b"<!DOCTYPE html><title>404 Not Found</title><p>The photograph is gone.</p>\n"

README = """\
A demo set with simulated votes, made by `python -m extract.demo` ({photographs} rows, seed {seed}).

The photographs are crops of pictures that scikit-learn and scikit-image ship, some of them
spoilt on purpose: blur, noise, under- and over-exposure, JPEG blocks, tilt, colour cast, haze,
and a crop that misses its subject. NOBODY HAS VOTED ON THEM: the votes are drawn from a model.

{model}
Penalties at full severity:
{penalties}
Interest of the scenes:
{interests}

labels.csv names the scene of every crop as its group and keeps each scene in one split, so no head
can win by knowing a scene:
{splits}
Intervals draw whole scenes. There are few, so they come out too narrow, and what they say holds for
other crops of such scenes rather than for photographs of the world.

As in any collection from the web, some rows have no photograph ({missing} here) and some files are
broken ({broken} here: empty, cut off, or a web page).
"""


@dataclass(frozen=True)
class Recipe:
    """What decides every file of a demo set."""

    photographs: int
    seed: int
    format: str = "aesthetic-heads-demo"
    version: int = 3


def make_demo(folder: Path, recipe: Recipe) -> bool:
    """Make the demo set, or leave it as it is where the folder already holds it.

    It is made in a hidden folder beside the target and put in its place at the end, so that
    `folder` never holds a part of it.

    Returns:
        True if it was made, False if it was already there.

    Raises:
        StorageError: the folder holds something else, or cannot be written.
        NoPhotographsError: a package that ships the pictures is not installed.
    """
    if _already_made(folder, recipe):
        return False
    try:
        with replacing_folder(folder) as draft:
            _fill(draft, recipe)
    except OSError as error:
        raise StorageError(
            f"The demo set cannot be written to {folder}: {error.strerror or error}. It needs "
            "about 60 MB in a folder that you may write to; free some, or name another folder."
        ) from error
    return True


def _already_made(folder: Path, recipe: Recipe) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = _read_stamp(folder / STAMP)
    if found == asdict(recipe):
        return True
    what = f"a demo set made with {shown(found)}" if found else "something else than a demo set"
    raise StorageError(
        f"{folder} already holds {what}; wanted is {shown(asdict(recipe))}. "
        "Name another folder, or remove that one first."
    )


def _read_stamp(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _fill(folder: Path, recipe: Recipe) -> None:
    from extract.demo import pictures as demo_photos
    from extract.demo.plan import make_plan

    plan = make_plan(recipe.photographs, recipe.seed)
    pictures = demo_photos.load_pictures()
    (folder / "images").mkdir()

    def write(row: int) -> None:
        shot = plan.shots[row]
        picture = pictures[plan.scene(row).files[shot.file]]
        path = _photo_path(folder, plan, row)
        image = demo_photos.render(picture, shot)
        image.save(path, "JPEG", quality=demo_photos.jpeg_quality(shot))

    _in_threads(write, [row for row in range(recipe.photographs) if row not in plan.missing])
    _break_files(folder, plan)
    _write_labels(folder, plan)
    (folder / "README.txt").write_text(_readme(recipe, plan), encoding="utf-8")
    (folder / "labels-note.txt").write_text(LABEL_NOTE + "\n", encoding="utf-8")
    (folder / STAMP).write_text(json.dumps(asdict(recipe)) + "\n", encoding="utf-8")


def _readme(recipe: Recipe, plan: Plan) -> str:
    from cache.types import SPLITS
    from extract.demo import votes as demo_votes
    from extract.demo.pictures import SCENES

    def wrapped(words: list[str]) -> str:
        return textwrap.fill(", ".join(words), 96, initial_indent="    ", subsequent_indent="    ")

    by_split = {split: [scene.name for scene in SCENES if scene.split == split] for split in SPLITS}
    return README.format(
        **asdict(recipe),
        model=(demo_votes.__doc__ or "").split("\n\n", 1)[1],
        penalties=wrapped([f"{name} {value:g}" for name, value in demo_votes.PENALTY.items()]),
        interests=wrapped([f"{scene.name} {scene.interest:+g}" for scene in SCENES]),
        splits="\n".join(
            wrapped([f"{split}: {scenes[0]}", *scenes[1:]]) for split, scenes in by_split.items()
        ),
        missing=len(plan.missing),
        broken=len(plan.broken),
    )


def _photo_path(folder: Path, plan: Plan, row: int) -> Path:
    return folder / "images" / plan.file(row)


def _in_threads(write: Callable[[int], None], rows: Sequence[int]) -> None:
    from tqdm.auto import tqdm

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        done = pool.map(write, rows)
        try:
            for _ in tqdm(done, "photographs", len(rows), disable=not sys.stderr.isatty()):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _break_files(folder: Path, plan: Plan) -> None:
    """Turn some files into what interrupted and refused downloads leave."""
    for number, row in enumerate(plan.broken):
        path = _photo_path(folder, plan, row)
        whole = path.read_bytes()
        path.write_bytes((b"", whole[: len(whole) // 3], HTML_PAGE)[number % 3])


def _write_labels(folder: Path, plan: Plan) -> None:
    from extract.demo.votes import LEVELS

    with (folder / "labels.csv").open("w", encoding="ascii", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "group", "split", *(f"r{k}" for k in range(1, LEVELS + 1))])
        for row, votes in enumerate(plan.votes.tolist()):
            scene = plan.scene(row)
            table.writerow([plan.file(row), scene.name, scene.split, *votes])


def _parser() -> argparse.ArgumentParser:
    parser = console.Parser(
        prog="extract.demo",
        description="Make a small demo set from photographs that installed packages ship. "
        f"Nobody voted: {LABEL_NOTE}.",
    )
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="where it goes; new, empty, or with the same set"
    )
    parser.add_argument(
        "--photographs",
        metavar="N",
        type=int,
        default=DEFAULT_PHOTOGRAPHS,
        help=f"how many rows, {MIN_PHOTOGRAPHS} to {MAX_PHOTOGRAPHS} "
        f"(default {DEFAULT_PHOTOGRAPHS})",
    )
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="default 0")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return console.run("extract.demo", lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if not MIN_PHOTOGRAPHS <= args.photographs <= MAX_PHOTOGRAPHS:
        limits = f"{MIN_PHOTOGRAPHS} to {MAX_PHOTOGRAPHS}"
        parser.error(f"--photographs is {args.photographs}; it must be {limits}")
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; it must be 0 or more")
    recipe = Recipe(args.photographs, args.seed)
    made = make_demo(args.folder, recipe)
    done = "made" if made else "already there, nothing to do"
    console.show(f"{args.folder}: {recipe.photographs} photographs {done}; {LABEL_NOTE}.")
    return console.EXIT_OK
