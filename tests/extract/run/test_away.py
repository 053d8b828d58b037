"""A folder that is away costs nothing that is finished, and is told from deleted photographs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import NoPhotographsError
from cache.merge import merge
from cache.rejects import read_rejects
from cache.resume import Reuse
from cache.store import open_cache, partial_path
from cache.types import Status
from extract.images import reading
from extract.images.reasons import reasons
from extract.labels import records
from extract.labels.splits import SplitSettings
from extract.run.away import is_away
from extract.run.dryrun import dry_run
from extract.run.extract import extract
from extract.run.settings import FailurePolicy, Settings, Shard
from extract.run.summary import Summary
from tests import cheap
from tests.cheap import CheapEngine, Opener, photograph, settings_for
from tests.helpers import assert_same_cache

CHECKOUT = Path(__file__).parents[3]


def lay_out(data: Path, folders: dict[str, int]) -> None:
    """Write so many photographs into each folder, and a labels.csv that names them all."""
    lines, number = ["file,split,r1,r2,r3"], 0
    for folder, n in folders.items():
        (data / folder).mkdir(parents=True, exist_ok=True)
        for _ in range(n):
            name = "/".join(
                filter(None, (folder.removeprefix("images").strip("/"), f"{number}.jpg"))
            )
            photograph(number).save(data / folder / f"{number}.jpg")
            lines.append(f"{name},train,{number + 1},2,3")
            number += 1
    (data / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Sixty photographs: thirty in one folder, thirty in folders below another, all of train."""
    lay_out(tmp_path / "data", {"here": 30, "share/one": 25, "share/two": 5})
    return settings_for(tmp_path)


def do(settings: Settings) -> Summary:
    (summary,) = extract(settings, Opener())
    return summary


def counts(summary: Summary) -> tuple[int, int, int, int]:
    return summary.ok, summary.missing, summary.unreadable, summary.extracted


def put_away(folder: Path) -> Path:
    """Move a folder away as an unmounted share goes: an empty mount point stays."""
    kept = folder.rename(folder.with_name(f"{folder.name}-kept"))
    folder.mkdir()
    return kept


def bring_back(kept: Path) -> None:
    folder = kept.with_name(kept.name.removesuffix("-kept"))
    if folder.exists():
        folder.rmdir()
    kept.rename(folder)


KEPT = (
    "{path}: {what} are away. What it held of them is kept. Bring the folder back; or, if they are "
    "gone for good, take their rows out of the labels."
)
UNFINISHED = (
    "{path} is not finished: {what} are away, still to be read. The others are kept in "
    "train.h5.partial. Bring the folder back and give the same command again (without "
    "--overwrite); or, if there are no such photographs, take their rows out of the labels."
)


# --- a finished cache ----------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [True, False])
def test_rows_of_a_folder_that_is_away_are_kept_as_they_were(
    settings: Settings, empty: bool
) -> None:
    before = do(settings).path.read_bytes()
    share = settings.data / "share"
    kept = put_away(share)
    if not empty:
        share.rmdir()
    summary = do(settings)
    assert counts(summary) == (60, 0, 0, 0)
    assert summary.path.read_bytes() == before
    what = f"30 photographs of the folder {share}"
    assert summary.problems == [KEPT.format(path=summary.path, what=what)]
    bring_back(kept)
    assert do(settings).problems == []


def test_what_came_meanwhile_is_extracted_and_published_beside_the_kept_rows(
    settings: Settings,
) -> None:
    do(settings)
    old = open_cache(settings.out / "train.h5")
    kept_rows = dict(zip(old.labels.image_id.tolist(), np.array(old.features), strict=True))
    kept = put_away(settings.data / "share")
    photograph(99).save(settings.data / "here" / "99.jpg")
    with (settings.data / "labels.csv").open("a") as file:
        file.write("here/99.jpg,train,1,2,3\n")
    summary = do(settings)
    assert counts(summary) == (61, 0, 0, 1)
    assert len(summary.problems) == 1
    cache = open_cache(summary.path)
    for name, features in zip(cache.labels.image_id.tolist(), cache.features, strict=True):
        assert name == "here/99.jpg" or np.array_equal(features, kept_rows[name])
    bring_back(kept)
    again = do(settings)
    assert (counts(again), again.problems) == ((61, 0, 0, 0), [])
    fresh = do(replace(settings, out=settings.out.with_name("fresh")))
    assert_same_cache(fresh.path, again.path)


def test_each_folder_is_judged_by_itself_and_the_highest_is_named(settings: Settings) -> None:
    do(settings)
    put_away(settings.data / "share" / "two")
    what = f"5 photographs of the folder {settings.data}/share/two"
    assert do(settings).problems == [KEPT.format(path=settings.out / "train.h5", what=what)]
    put_away(settings.data / "here")
    what = f"30 photographs of the folder {settings.data}/here and {what}"
    assert do(settings).problems == [KEPT.format(path=settings.out / "train.h5", what=what)]


def test_many_folders_are_counted(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", {"here": 9, **{f"item{k}": 1 for k in range(5)}})
    settings = settings_for(tmp_path)
    do(settings)
    for number in range(5):
        shutil.rmtree(tmp_path / "data" / f"item{number}")
    (problem,) = do(settings).problems
    assert "1 photograph of the folder" in problem
    assert "and 2 of 2 more folders are away." in problem


def test_photographs_deleted_from_a_folder_are_missing(settings: Settings) -> None:
    do(settings)
    for number in (30, 31, 32):
        (settings.data / "share" / "one" / f"{number}.jpg").unlink()
    (settings.data / "share" / "two" / "55.jpg").unlink()
    summary = do(settings)
    assert (counts(summary), summary.problems) == ((56, 4, 0, 0), [])


@pytest.mark.parametrize(("left", "away"), [(2, 23), (3, 0)])
def test_a_folder_with_less_than_a_tenth_of_its_photographs_is_away(
    settings: Settings, left: int, away: int
) -> None:
    do(settings)
    for number in range(30, 55 - left):
        (settings.data / "share" / "one" / f"{number}.jpg").unlink()
    summary = do(settings)
    assert counts(summary) == ((60, 0, 0, 0) if away else (38, 22, 0, 0))
    assert len(summary.problems) == bool(away)
    if away:
        assert f"{away} photographs of the folder {settings.data}/share/one" in summary.problems[0]


def test_bare_names_that_lie_in_images_keep_their_place(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", {"images": 20, "other": 20})
    settings = settings_for(tmp_path)
    before = do(settings).path.read_bytes()
    shutil.move(tmp_path / "data" / "images", tmp_path / "away")
    summary = do(settings)
    assert counts(summary) == (40, 0, 0, 0)
    assert f"20 photographs of the folder {tmp_path}/data/images are away" in summary.problems[0]
    assert summary.path.read_bytes() == before


def test_photographs_of_ava_in_a_folder_below_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder, ids in (("images", range(1, 21)), ("images/images", range(21, 41))):
        (data / folder).mkdir(parents=True, exist_ok=True)
        for number in ids:
            photograph(number).save(data / folder / f"{number}.jpg")
    lines = [f"{k} {k} 1 2 3 4 5 6 5 4 3 2 0 0 1" for k in range(1, 41)]
    (data / "AVA.txt").write_text("\n".join([*lines, "41 41 1 2 3 4 5 6 5 4 3 2 0 0 1"]) + "\n")
    settings = replace(settings_for(tmp_path), splits=("train", "val", "test"))
    first = extract(settings, Opener())
    assert sum(summary.missing for summary in first) == 1
    before = [summary.path.read_bytes() for summary in first]
    put_away(data / "images" / "images")
    second = extract(settings, Opener())
    assert [summary.path.read_bytes() for summary in second] == before
    problems = [problem for summary in second for problem in summary.problems]
    assert sum(int(problem.split(": ")[1].split()[0]) for problem in problems) == 20


def test_a_limit_counts_photographs_that_are_away_as_there(settings: Settings) -> None:
    small = replace(settings, split=SplitSettings(limit=40))
    before = do(small).path.read_bytes()
    put_away(settings.data / "share")
    summary = do(small)
    assert counts(summary) == (40, 0, 0, 0)
    assert summary.path.read_bytes() == before


def test_a_folder_that_is_all_there_is_stays_an_error(settings: Settings) -> None:
    before = do(settings).path.read_bytes()
    for folder in ("here", "share"):
        put_away(settings.data / folder)
    with pytest.raises(NoPhotographsError, match="None of the 60 labelled photographs was found"):
        do(settings)
    assert (settings.out / "train.h5").read_bytes() == before


def test_overwriting_does_not_lose_what_is_away(settings: Settings) -> None:
    before = do(settings).path.read_bytes()
    kept = put_away(settings.data / "share")
    summary = do(replace(settings, reuse=Reuse(overwrite=True)))
    what = f"30 photographs of the folder {settings.data}/share"
    assert summary.problems == [UNFINISHED.format(path=summary.path, what=what)]
    assert not summary.finished
    assert summary.path.read_bytes() == before
    bring_back(kept)
    assert counts(do(settings)) == (60, 0, 0, 30)
    fresh = do(replace(settings, out=settings.out.with_name("fresh")))
    assert_same_cache(fresh.path, summary.path)


class DepartingEngine(CheapEngine):
    """Puts a folder away during its first batch, leaving an empty mount point."""

    parallel = 1

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def features(self, pixels_u8: np.ndarray) -> np.ndarray:
        if not self.batches:
            put_away(self.folder)
        return super().features(pixels_u8)


def test_an_empty_mount_point_left_in_the_middle_of_a_run_ends_it(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", {"share": 400})
    settings = settings_for(tmp_path)
    with pytest.raises(NoPhotographsError, match="has vanished during the run"):
        extract(settings, lambda *_: DepartingEngine(tmp_path / "data" / "share"))
    assert not (settings.out / "train.h5").exists()
    assert (
        Status.MISSING
        not in open_cache(partial_path(settings.out / "train.h5"), allow_partial=True).status
    )


# --- a first extraction --------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [True, False])
def test_a_first_extraction_is_not_finished_without_a_folder(
    settings: Settings, empty: bool
) -> None:
    share = settings.data / "share"
    kept = put_away(share)
    if not empty:
        share.rmdir()
    summary = do(settings)
    path = settings.out / "train.h5"
    assert summary.problems == [
        UNFINISHED.format(path=path, what=f"30 photographs of the folder {share}")
    ]
    assert not path.exists()
    assert partial_path(path).exists()
    bring_back(kept)
    assert counts(do(settings)) == (60, 0, 0, 30)
    fresh = do(replace(settings, out=settings.out.with_name("fresh")))
    assert_same_cache(fresh.path, path)


def test_an_empty_folder_images_is_away_for_names_that_may_lie_there(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", {"images": 5, "other": 5})
    kept = put_away(tmp_path / "data" / "images")
    summary = do(settings_for(tmp_path))
    assert f"5 photographs of the folder {tmp_path}/data/images are away" in summary.problems[0]
    bring_back(kept)
    assert counts(do(settings_for(tmp_path))) == (10, 0, 0, 5)


def test_rows_added_for_a_folder_that_is_away_leave_the_finished_file(settings: Settings) -> None:
    before = do(settings).path.read_bytes()
    with (settings.data / "labels.csv").open("a") as file:
        file.write("new/99.jpg,train,1,2,3\n")
    summary = do(settings)
    assert "1 photograph of the folder" in summary.problems[0]
    assert summary.path.read_bytes() == before


def test_a_folder_that_a_finished_file_already_calls_missing_is_no_problem(
    settings: Settings,
) -> None:
    for path in (settings.data / "share" / "two").iterdir():
        path.rename(path.with_suffix(".not"))
    assert counts(do(settings)) == (55, 5, 0, 55)
    shutil.rmtree(settings.data / "share" / "two")
    summary = do(settings)
    assert (counts(summary), summary.problems) == ((55, 5, 0, 0), [])


# --- shards, merging, a dry run, the command ----------------------------------------------------


def test_shards_keep_their_rows_and_merge(settings: Settings) -> None:
    parts = [replace(settings, shard=Shard(number, 2)) for number in (1, 2)]
    paths = [do(part).path for part in parts]
    before = [path.read_bytes() for path in paths]
    put_away(settings.data / "share")
    again = [do(part) for part in parts]
    assert [path.read_bytes() for path in paths] == before
    assert sum(len(part.problems) for part in again) == 2
    assert len(merge(settings.out / "merged.h5", paths).ok_rows) == 60


def test_a_shard_that_is_not_finished_is_not_merged(settings: Settings) -> None:
    put_away(settings.data / "share")
    parts = [do(replace(settings, shard=Shard(number, 2))) for number in (1, 2)]
    assert not any(part.path.exists() for part in parts)


def test_a_dry_run_says_what_is_away_and_ends_with_a_problem(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings)
    put_away(settings.data / "share")
    text, as_json = dry_run(settings, Opener())
    problem = KEPT.format(
        path=settings.out / "train.h5", what=f"30 photographs of the folder {settings.data}/share"
    )
    assert text.endswith(f"Nothing to do.\n{problem}")
    assert json.loads(as_json)["problems"] == [problem]
    assert command(settings, "--dry-run") == 1
    photograph(99).save(settings.data / "here" / "0.jpg")
    text, _ = dry_run(settings, Opener())
    assert "0 missing, 1 to extract" in text
    assert "photographs a second" in text


def command(settings: Settings, *more: str) -> int:
    return cheap.main(
        [
            *("--split", "train", "--data", str(settings.data), "--out", str(settings.out)),
            *("--weights", settings.weights, *more),
        ]
    )


def test_the_command_says_so_at_its_end_and_ends_with_a_problem(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(settings) == 0
    put_away(settings.data / "share")
    capsys.readouterr()
    assert command(settings) == 1
    out, err = capsys.readouterr()
    assert "60 photographs; nothing to do" in out
    assert "60 labelled photographs, 30 found, 30 in folders that are away." in err
    assert "already complete" not in err
    assert err.splitlines()[-1].startswith(f"extract: {settings.out}/train.h5: 30 photographs of")


# --- what the system refuses ---------------------------------------------------------------------


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Names of photographs that cannot be opened, each with the number that the system gives."""
    numbers: dict[str, int] = {}

    def opened(path: Path, *others: object, real: object = reading._opened) -> object:
        if path.name in numbers:
            number = numbers[path.name]
            with reasons():
                raise OSError(number, os.strerror(number), str(path))
        return real(path, *others)

    monkeypatch.setattr(reading, "_opened", opened)
    return numbers


PASSING = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES, errno.ENOTCONN, errno.ENOMEM),
    *(errno.EMFILE, errno.EHOSTDOWN, errno.EPERM),
)


def test_what_the_system_refuses_is_tried_again_without_being_asked(
    settings: Settings, refused: dict[str, int]
) -> None:
    lenient = replace(settings, failures=FailurePolicy(max_rate=0.5))
    refused |= {f"{k}.jpg": number for k, number in enumerate(PASSING)}
    summary = do(lenient)
    assert counts(summary) == (51, 0, 9, 60)
    (problem,) = summary.problems
    assert problem.startswith(f"{summary.path}: the system did not give 9 photographs (1 x not to ")
    assert problem.endswith("Solve this; the same command then tries them again.")
    reasons = read_rejects(summary.path)
    assert reasons["here/0.jpg"] == "not to be read for now: Input/output error"
    del refused["0.jpg"]
    assert counts(do(lenient)) == (52, 0, 8, 9)
    refused.clear()
    again = do(lenient)
    assert (counts(again), again.problems) == ((60, 0, 0, 8), [])
    fresh = do(replace(settings, out=settings.out.with_name("fresh")))
    assert_same_cache(fresh.path, again.path)


@pytest.mark.parametrize("number", [errno.EISDIR, errno.EINVAL, errno.ELOOP])
def test_what_the_system_says_of_the_file_itself_is_final(
    settings: Settings, refused: dict[str, int], number: int
) -> None:
    refused["0.jpg"] = number
    summary = do(settings)
    assert (counts(summary), summary.problems) == ((59, 0, 1, 60), [])
    assert counts(do(settings)) == (59, 0, 1, 0)


def test_a_refused_photograph_that_is_then_deleted_is_missing(
    settings: Settings, refused: dict[str, int]
) -> None:
    refused["0.jpg"] = errno.EIO
    do(settings)
    (settings.data / "here" / "0.jpg").unlink()
    summary = do(settings)
    assert (counts(summary), summary.problems) == ((59, 1, 0, 0), [])


def test_refusals_beyond_the_allowed_share_are_tried_again_too(
    settings: Settings, refused: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    refused |= {f"{k}.jpg": errno.EIO for k in range(30)}
    assert command(settings) == 1
    assert "30 of 60 photographs failed" in capsys.readouterr().err
    refused.clear()
    assert command(settings) == 0
    assert len(open_cache(settings.out / "train.h5").ok_rows) == 60


def test_shards_with_refused_photographs_merge_and_are_tried_again_afterwards(
    settings: Settings, refused: dict[str, int]
) -> None:
    refused["0.jpg"] = errno.EIO
    paths = [do(replace(settings, shard=Shard(number, 2))).path for number in (1, 2)]
    merge(settings.out / "train.h5", paths)
    refused.clear()
    assert counts(do(settings)) == (60, 0, 0, 1)


def test_a_file_of_which_the_system_says_nothing_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = do(settings).path.read_bytes()

    def stat(path: str, *rest: object, real: object = os.stat, **more: object) -> object:
        if str(path).endswith("/0.jpg"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return real(path, *rest, **more)

    monkeypatch.setattr(records.os, "stat", stat)
    summary = do(settings)
    assert counts(summary) == (60, 0, 0, 0)
    assert "1 photograph of the folder" in summary.problems[0]
    assert summary.path.read_bytes() == before


# --- permissions, as another user ----------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of its own that another user may enter and write."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        yield folder


# Another user may not be able to read the interpreter's files: one extraction before imports all.
AS_SOMEBODY = """
import contextlib, io, mmap, os, sys
from tests.cheap import main
with contextlib.redirect_stderr(io.StringIO()):
    main([*sys.argv[2:], "--overwrite", "--out", sys.argv[1]])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(sys.argv[2:]))
"""


def as_somebody(settings: Settings) -> subprocess.CompletedProcess[str]:
    """Run the command as a user to whom permissions mean something."""
    return subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY, str(settings.out.parent / "imports"),
         "--split", "train", "--data", str(settings.data), "--out", str(settings.out),
         "--weights", settings.weights],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_permissions_that_are_taken_cost_nothing_and_come_back(open_folder: Path) -> None:
    lay_out(open_folder / "data", {"here": 20, "locked": 20})
    settings = settings_for(open_folder)
    (open_folder / "data" / "here" / "0.jpg").chmod(0)
    first = as_somebody(settings)
    assert first.returncode == 1, first.stderr
    assert "did not give 1 photograph (1 x not to be read for now: Permission" in first.stderr
    (open_folder / "data" / "here" / "0.jpg").chmod(0o644)
    assert (done := as_somebody(settings)).returncode == 0, done.stderr
    before = (settings.out / "train.h5").read_bytes()
    for mode in (0o000, 0o444):
        (open_folder / "data" / "locked").chmod(mode)
        locked = as_somebody(settings)
        assert locked.returncode == 1
        assert f"20 photographs of the folder {open_folder}/data/locked are away" in locked.stderr
        assert (settings.out / "train.h5").read_bytes() == before
    (open_folder / "data" / "locked").chmod(0o755)
    assert (done := as_somebody(settings)).returncode == 0, done.stderr


def test_a_folder_is_away_if_it_is_not_there_or_empty_or_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert [is_away(tmp_path / n) for n in ("empty", "file", "link", "none", "")] == [
        *[True] * 4,
        False,
    ]


# --- begun anew, with a folder away ---------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 20])
def test_the_command_after_an_overwrite_with_a_folder_away_waits_for_the_folder(
    settings: Settings, limit: int
) -> None:
    before = do(replace(settings, split=SplitSettings(limit=limit))).path.read_bytes()
    kept = put_away(settings.data / "share")
    assert do(replace(settings, reuse=Reuse(overwrite=True))).finished is False
    text, _ = dry_run(settings, Opener())
    summary = do(settings)
    what = f"30 photographs of the folder {settings.data / 'share'}"
    assert summary.problems == [UNFINISHED.format(path=summary.path, what=what)]
    assert text.endswith("\n".join(("Nothing to do.", *summary.problems)))
    assert (counts(summary), summary.path.read_bytes()) == ((30, 30, 0, 0), before)
    bring_back(kept)
    again = do(settings)
    assert (counts(again), again.problems) == ((60, 0, 0, 30), [])


def test_another_try_of_a_photograph_waits_for_its_folder(settings: Settings) -> None:
    damaged = settings.data / "share" / "one" / "30.jpg"
    damaged.write_bytes(b"no picture")
    before = do(settings).path.read_bytes()
    kept = put_away(settings.data / "share")
    retry = replace(settings, reuse=Reuse(retry_failed=True))
    summary = do(retry)
    share = settings.data / "share"
    assert summary.problems == [
        KEPT.format(path=summary.path, what=f"29 photographs of the folder {share}"),
        UNFINISHED.format(path=summary.path, what=f"1 photograph of the folder {share}").replace(
            "share are away", "share is away"
        ),
    ]
    assert summary.path.read_bytes() == before
    bring_back(kept)
    photograph(30).save(damaged)
    again = do(retry)
    assert (counts(again), again.problems) == ((60, 0, 0, 1), [])
