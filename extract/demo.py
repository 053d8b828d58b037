"""`python -m extract.demo DIR`: a small simulated AVA, so that everything can be tried at once.

Owns the folder: AVA.txt, images/, the official lists, the note about the votes. The pictures
come from `demo_photos`, the votes from `demo_votes`; both are imported when needed, so that
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache import console
from cache.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from extract.demo_photos import Shot

LABEL_NOTE = "votes are simulated by a model of raters"
STAMP = "demo.json"
MIN_PHOTOGRAPHS, MAX_PHOTOGRAPHS, DEFAULT_PHOTOGRAPHS = 100, 50_000, 1500
# 5 % of the ids hash into val, 15 % of the rows want one of these.
IDS_PER_ROW = 8
PER_CHALLENGE, PER_MISSING, PER_BROKEN, MAX_BROKEN = 75, 100, 250, 6
HTML_PAGE = b"<!DOCTYPE html><title>404 Not Found</title><p>The photograph is gone.</p>\n"

README = """\
A simulated AVA, made by `python -m extract.demo` ({photographs} rows, seed {seed}).

The photographs are crops of pictures that scikit-learn and scikit-image ship, some of them
spoilt on purpose: blur, noise, under- and over-exposure, JPEG blocks, tilt, colour cast, haze,
and a crop that misses its subject. NOBODY HAS VOTED ON THEM: the votes are drawn from a model.

{model}
Every crop of a scene is in one split, so no head can win by knowing a scene. The official test
list (aesthetics_image_lists/generic_test.jpgl) holds the scenes {test}.
AVA's layout has no groups, so the ids are chosen such that the default rule, 5 % by hash, puts
exactly the scenes {val} into val; another --split-seed or --val-fraction mixes scenes.

As in the real AVA, some rows have no photograph ({missing} here) and some files are broken
({broken} here: empty, cut off, or a web page). The challenges are random contests; the first tag
is the number of the scene, the second is always 0.
"""


@dataclass(frozen=True)
class Recipe:
    """What decides every file of a demo set."""

    photographs: int
    seed: int
    format: str = "aesthetic-heads-demo"
    version: int = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of a demo set: ids, shots, votes (N, 10), challenges (N,), and the bad rows."""

    image_id: npt.NDArray[np.int64]
    shots: tuple[Shot, ...]
    votes: npt.NDArray[np.int32]
    challenge: npt.NDArray[np.int64]
    missing: frozenset[int]
    broken: tuple[int, ...]


def make_plan(recipe: Recipe) -> Plan:
    """Draw the whole set from the recipe's seed; an equal recipe gives an equal plan."""
    import numpy as np

    from extract.demo_photos import draw_shot
    from extract.demo_votes import cast_votes, latent_quality

    n = recipe.photographs
    rng_rows, rng_shots, rng_votes = np.random.default_rng(recipe.seed).spawn(3)
    challenge = rng_rows.permutation(np.arange(n) // PER_CHALLENGE + 1)
    shots = tuple(draw_shot(rng_shots) for _ in range(n))
    bad = [int(row) for row in rng_rows.permutation(n)]
    n_missing, n_broken = n // PER_MISSING, min(MAX_BROKEN, n // PER_BROKEN)
    return Plan(
        image_id=_draw_ids(shots, rng_rows),
        shots=shots,
        votes=cast_votes(latent_quality(shots, challenge, rng_votes), rng_votes),
        challenge=challenge,
        missing=frozenset(bad[:n_missing]),
        broken=tuple(bad[n_missing : n_missing + n_broken]),
    )


def _draw_ids(shots: Sequence[Shot], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw (N,) different ids of which exactly the val scenes' hash into the default val part."""
    import numpy as np

    from extract.demo_photos import SCENES
    from extract.splits import VAL_FRACTION_OF_OFFICIAL, SplitSettings, hash_fractions

    splits = np.array([SCENES[shot.scene].split for shot in shots])
    drawn = rng.choice(np.arange(1000, 960_000), size=IDS_PER_ROW * len(shots), replace=False)
    fractions = hash_fractions(SplitSettings().seed, drawn.astype(str))
    in_val = fractions < VAL_FRACTION_OF_OFFICIAL
    wants_val = splits == "val"
    ids = np.empty(len(shots), dtype=np.int64)
    ids[wants_val] = drawn[in_val][: wants_val.sum()]
    ids[~wants_val] = drawn[~in_val][: (~wants_val).sum()]
    return ids


def make_demo(folder: Path, recipe: Recipe) -> bool:
    """Make the demo set, or leave it as it is where the folder already holds it.

    It is made in a hidden folder beside the target and renamed at the end, so that `folder`
    never holds a part of it.

    Returns:
        True if it was made, False if it was already there.

    Raises:
        StorageError: the folder holds something else, or cannot be written.
        NoPhotographsError: a package that ships the pictures is not installed.
    """
    if _already_made(folder, recipe):
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        _fill(draft, recipe, make_plan(recipe))
        draft.chmod(0o755)
        draft.replace(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _cannot_write(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"The demo set cannot be written to {folder}: {error.strerror or error}. It needs about "
        "60 MB in a folder that you may write to; free some, or name another folder."
    )


def _already_made(folder: Path, recipe: Recipe) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = _read_stamp(folder / STAMP)
    if found == asdict(recipe):
        return True
    what = f"a demo set made as {found}" if found else "something else than a demo set"
    raise StorageError(
        f"{folder} already holds {what}; wanted is {asdict(recipe)}. "
        "Name another folder, or remove that one first."
    )


def _read_stamp(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _fill(folder: Path, recipe: Recipe, plan: Plan) -> None:
    from extract import demo_photos, demo_votes

    pictures = demo_photos.load_pictures()
    (folder / "images").mkdir()

    def write(row: int) -> None:
        shot = plan.shots[row]
        picture = pictures[demo_photos.SCENES[shot.scene].files[shot.file]]
        path = _photo_path(folder, plan, row)
        image = demo_photos.render(picture, shot)
        image.save(path, "JPEG", quality=demo_photos.jpeg_quality(shot))

    _in_threads(write, [row for row in range(recipe.photographs) if row not in plan.missing])
    _break_files(folder, plan)
    _write_lists(folder, plan)
    model = demo_votes.__doc__ or ""
    text = README.format(
        **asdict(recipe),
        model=model.split("\n\n", 1)[1],
        test=", ".join(s.name for s in demo_photos.SCENES if s.split == "test"),
        val=", ".join(s.name for s in demo_photos.SCENES if s.split == "val"),
        missing=len(plan.missing),
        broken=len(plan.broken),
    )
    (folder / "README.txt").write_text(text, encoding="utf-8")
    (folder / "labels-note.txt").write_text(LABEL_NOTE + "\n", encoding="utf-8")
    (folder / STAMP).write_text(json.dumps(asdict(recipe)) + "\n", encoding="utf-8")


def _photo_path(folder: Path, plan: Plan, row: int) -> Path:
    return folder / "images" / f"{plan.image_id[row]}.jpg"


def _in_threads(write: Callable[[int], None], rows: Sequence[int]) -> None:
    from tqdm import tqdm

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


def _write_lists(folder: Path, plan: Plan) -> None:
    from extract.demo_photos import SCENES

    lines: list[str] = []
    lists: dict[str, list[str]] = {"generic_test": [], "generic_ls_train": []}
    for row, shot in enumerate(plan.shots):
        counts = " ".join(str(count) for count in plan.votes[row])
        tags = f"{shot.scene + 1} 0"
        lines.append(f"{row + 1} {plan.image_id[row]} {counts} {tags} {plan.challenge[row]}\n")
        name = "generic_test" if SCENES[shot.scene].split == "test" else "generic_ls_train"
        lists[name].append(f"{plan.image_id[row]}\n")
    (folder / "AVA.txt").write_text("".join(lines), encoding="ascii")
    (folder / "aesthetics_image_lists").mkdir()
    for name, ids in lists.items():
        path = folder / "aesthetics_image_lists" / f"{name}.jpgl"
        path.write_text("".join(ids), encoding="ascii")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="extract.demo",
        description="Make a small simulated AVA from photographs that installed packages ship. "
        f"Nobody voted: {LABEL_NOTE}.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="where it goes; new or empty")
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
    parser = _parser()
    args = parser.parse_args(argv)
    if not MIN_PHOTOGRAPHS <= args.photographs <= MAX_PHOTOGRAPHS:
        limits = f"{MIN_PHOTOGRAPHS} to {MAX_PHOTOGRAPHS}"
        parser.error(f"--photographs is {args.photographs}; it must be {limits}")
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; it must be 0 or more")
    recipe = Recipe(args.photographs, args.seed)

    def command() -> int:
        made = make_demo(args.folder, recipe)
        done = "made" if made else "already there, nothing to do"
        print(f"{args.folder}: {recipe.photographs} photographs {done}; {LABEL_NOTE}.")
        return console.EXIT_OK

    return console.run("extract.demo", command)


if __name__ == "__main__":
    sys.exit(main())
