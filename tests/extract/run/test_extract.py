"""One extraction from labels to a finished cache, with an engine that costs nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import (
    CacheLockedError,
    FormatError,
    LabelError,
    NoPhotographsError,
    StorageError,
)
from cache.files import exclusive
from cache.inplace import InPlace
from cache.pairs import pairs_of, pairs_path
from cache.rejects import read_rejects, rejects_path
from cache.resume import Reuse
from cache.store import open_cache, partial_path
from cache.types import SPLITS, Status
from cache.verify import verify
from extract import stream as pipeline
from extract.backbones.engines import EngineSettings
from extract.errors import TooManyFailuresError
from extract.images.decode import read_photograph
from extract.images.views import views
from extract.labels.splits import SplitSettings
from extract.run.extract import extract
from extract.run.settings import FailurePolicy, Settings
from extract.run.summary import Summary, describe
from tests.cheap import (
    CheapEngine,
    Opener,
    make_folder,
    save_labels,
    save_photographs,
    settings_for,
)
from tests.helpers import assert_same_cache

N = 100


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A hundred photographs, all sound, all of the split train."""
    make_folder(tmp_path / "data", N)
    return settings_for(tmp_path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photographs that were decoded."""
    names: list[str] = []

    def read(source: Path, *rest: object) -> object:
        names.append(source.name)
        return read_photograph(source, *rest)

    monkeypatch.setattr(pipeline, "read_photograph", read)
    return names


def do(settings: Settings) -> Summary:
    (summary,) = extract(settings, Opener())
    return summary


def counts(summary: Summary) -> tuple[int, int, int, int]:
    return summary.ok, summary.missing, summary.unreadable, summary.extracted


def lax(settings: Settings) -> Settings:
    """Allow any share of failures."""
    return replace(settings, failures=FailurePolicy(max_rate=1.0))


def spoil(settings: Settings, *numbers: int) -> None:
    for number in numbers:
        (settings.data / "images" / f"{number}.jpg").write_bytes(b"no picture")


def status_of(path: Path) -> dict[str, Status]:
    cache = open_cache(path)
    return {
        image_id: Status(status)
        for image_id, status in zip(
            cache.labels.image_id.tolist(), cache.status.tolist(), strict=True
        )
    }


# --- a plain run ---------------------------------------------------------------------------------


def test_every_photograph_ends_in_the_cache_with_its_own_features(settings: Settings) -> None:
    summary = do(settings)
    assert counts(summary) == (N, 0, 0, N)
    assert verify(summary.path) == []
    cache = open_cache(summary.path)
    engine = CheapEngine()
    for row in (0, 17, 99):
        path = settings.data / cache.labels.path[row]
        resized_by = cache.spec.interpolation
        pixels = read_photograph(path, views("center"), interpolation=resized_by).pixels_u8
        batch = np.repeat(pixels, 16, axis=0)
        expected = engine.features(batch)[0].astype(np.float16)
        np.testing.assert_array_equal(cache.features[row, 0], expected)


def test_the_cache_says_how_it_was_made(settings: Settings) -> None:
    (settings.data / "labels-note.txt").write_text("simulated votes\n")
    cache = open_cache(do(settings).path)
    origin = cache.header.provenance
    assert cache.split == "train"
    assert cache.data_root == settings.data.resolve()
    assert cache.label_note == "simulated votes"
    assert origin.engine == "cheap"
    assert origin.weights_origin == f"the file {settings.weights}"
    assert set(origin.library_versions) >= {"numpy", "pillow", "tensorflow", "keras"}
    assert cache.header.finished >= origin.created > ""
    assert (cache.size == [64, 48]).all()


def test_all_three_splits_are_made_with_one_engine(settings: Settings) -> None:
    lines = (settings.data / "labels.csv").read_text().replace("train,", "").replace("split,", "")
    (settings.data / "labels.csv").write_text(lines)
    opened = []

    def opener(engine: EngineSettings, weights: object) -> CheapEngine:
        opened.append(engine)
        return CheapEngine()

    summaries = extract(replace(settings, splits=SPLITS), opener)
    assert [summary.path.name for summary in summaries] == ["train.h5", "val.h5", "test.h5"]
    assert sum(summary.ok for summary in summaries) == N
    assert len(opened) == 1
    ids = [open_cache(summary.path).labels.image_id.tolist() for summary in summaries]
    assert len(set(ids[0]) | set(ids[1]) | set(ids[2])) == N


@pytest.mark.parametrize(
    ("changed", "shape", "dtype"),
    [
        ({"views": "ten"}, (N, 10, 1280), "float16"),
        ({"views": "random:3", "dtype": "float32"}, (N, 3, 1280), "float32"),
        ({"engine": EngineSettings(layers="multi", cores=2)}, (N, 1, 2784), "float16"),
    ],
)
def test_views_layers_and_dtype_decide_the_shape(
    settings: Settings, changed: dict[str, object], shape: tuple[int, ...], dtype: str
) -> None:
    cache = open_cache(do(replace(settings, **changed)).path)
    assert (cache.features.shape, cache.features.dtype) == (shape, dtype)
    assert verify(cache.path) == []


def test_labels_of_means_alone_are_extracted(settings: Settings) -> None:
    rows = [f"{i}.jpg,{i / 100},0,1" for i in range(N)]
    (settings.data / "labels.csv").write_text(
        "\n".join(["file,mean,scale_min,scale_max", *rows]) + "\n"
    )
    cache = open_cache(do(settings).path)
    assert cache.labels.votes is None
    assert cache.threshold == "0.5"
    assert cache.labels.mean.tolist() == [
        int(i.removesuffix(".jpg")) / 100 for i in cache.labels.image_id
    ]


def test_comparisons_alone_are_extracted_and_new_ones_decode_nothing(
    settings: Settings, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "labels.csv").unlink()
    rows = [f"{i}.jpg,{i + 1}.jpg" for i in range(0, N, 2)]
    (settings.data / "pairs.csv").write_text("\n".join(["winner,loser", *rows]))
    path = do(settings).path
    cache, n = open_cache(path), len(decoded)
    assert verify(path) == []
    assert cache.labels.pairs_alone
    assert set(cache.header.provenance.label_files) == {"pairs.csv", "labels-note.txt"}
    pairs = pairs_of(cache).tolist()
    assert len(pairs) == cache.n_rows / 2 == n / 2
    (settings.data / "pairs.csv").write_text("\n".join(["winner,loser", *rows, *rows]))
    capsys.readouterr()
    do(settings)
    said = "the files of labels have changed, but no label of this split"
    assert said in capsys.readouterr().err
    assert pairs_of(open_cache(path)).tolist() == pairs * 2
    assert len(decoded) == n


def test_comparisons_that_are_gone_are_taken_away(settings: Settings) -> None:
    (settings.data / "pairs.csv").write_text("winner,loser\n1.jpg,2.jpg\n")
    path = do(settings).path
    assert pairs_of(open_cache(path)).shape == (1, 2)
    pairs_path(path).unlink()
    with pytest.raises(FormatError, match="was made from comparisons, and they lie there"):
        pairs_of(open_cache(path))
    (settings.data / "pairs.csv").unlink()
    assert pairs_of(open_cache(do(settings).path)) is None


def test_a_limit_makes_a_smaller_file_that_a_larger_limit_takes_over(
    settings: Settings, decoded: list[str]
) -> None:
    small = replace(settings, split=SplitSettings(limit=30))
    assert counts(do(small)) == (30, 0, 0, 30)
    first = open_cache(settings.out / "train.h5").labels.image_id.tolist()
    assert counts(do(replace(settings, split=SplitSettings(limit=70)))) == (70, 0, 0, 40)
    assert open_cache(settings.out / "train.h5").labels.image_id.tolist()[:30] == first
    assert len(set(decoded)) == len(decoded) == 70


# --- doing nothing twice -------------------------------------------------------------------------


def test_a_second_run_decodes_nothing_and_opens_no_engine(
    settings: Settings, decoded: list[str]
) -> None:
    first = do(settings)
    before, content = len(decoded), first.path.read_bytes()
    opener = Opener()
    (second,) = extract(settings, opener)
    assert counts(second) == (N, 0, 0, 0)
    assert opener.engine is None
    assert len(decoded) == before == N
    assert first.path.read_bytes() == content
    assert "nothing to do, no photograph was decoded" in describe(second, 2)


def test_only_added_photographs_are_extracted(settings: Settings, decoded: list[str]) -> None:
    do(settings)
    decoded.clear()
    save_photographs(settings.data, range(N, N + 20))
    save_labels(settings.data, range(N + 20))
    opener = Opener()
    (summary,) = extract(settings, opener)
    assert counts(summary) == (N + 20, 0, 0, 20)
    assert sorted(decoded) == sorted(f"{i}.jpg" for i in range(N, N + 20))
    assert opener.engine is not None
    assert opener.engine.batches == 2
    assert_as_if_made_at_once(settings)


def assert_as_if_made_at_once(settings: Settings) -> None:
    fresh = replace(settings, out=settings.out.parent / "fresh")
    assert_same_cache(do(fresh).path, settings.out / "train.h5")
    assert read_rejects(fresh.out / "train.h5") == read_rejects(settings.out / "train.h5")


def test_only_a_changed_photograph_is_extracted_again(
    settings: Settings, decoded: list[str]
) -> None:
    do(settings)
    decoded.clear()
    shutil.copy(settings.data / "images" / "5.jpg", settings.data / "images" / "9.jpg")
    assert counts(do(settings)) == (N, 0, 0, 1)
    assert decoded == ["9.jpg"]
    cache = open_cache(settings.out / "train.h5")
    five, nine = (cache.labels.image_id.tolist().index(f"{i}.jpg") for i in (5, 9))
    np.testing.assert_array_equal(cache.features[five], cache.features[nine])
    assert_as_if_made_at_once(settings)


def test_a_photograph_touched_alone_is_read_again(settings: Settings, decoded: list[str]) -> None:
    do(settings)
    decoded.clear()
    os.utime(settings.data / "images" / "3.jpg", ns=(1, 1))
    assert counts(do(settings)) == (N, 0, 0, 1)
    assert decoded == ["3.jpg"]


def test_a_missing_photograph_that_appears_is_extracted(
    settings: Settings, decoded: list[str]
) -> None:
    away = settings.data / "away.jpg.not"
    photograph = settings.data / "images" / "4.jpg"
    photograph.rename(away)
    assert counts(do(settings)) == (N - 1, 1, 0, N - 1)
    assert status_of(settings.out / "train.h5")["4.jpg"] == Status.MISSING
    away.rename(photograph)
    decoded.clear()
    assert counts(do(settings)) == (N, 0, 0, 1)
    assert decoded == ["4.jpg"]
    assert read_rejects(settings.out / "train.h5") == {}


def test_a_photograph_that_goes_becomes_missing(settings: Settings) -> None:
    do(settings)
    (settings.data / "images" / "4.jpg").unlink()
    assert counts(do(settings)) == (N - 1, 1, 0, 0)
    assert_as_if_made_at_once(settings)


def test_changed_votes_are_taken_over_without_decoding(
    settings: Settings, decoded: list[str]
) -> None:
    do(settings)
    decoded.clear()
    text = (settings.data / "labels.csv").read_text()
    (settings.data / "labels.csv").write_text(text.replace("\n0.jpg,train,", "\n0.jpg,train,1"))
    assert counts(do(settings)) == (N, 0, 0, 0)
    assert decoded == []
    assert_as_if_made_at_once(settings)


# --- rejects -------------------------------------------------------------------------------------


def test_rejected_photographs_are_counted_and_listed_with_reasons(settings: Settings) -> None:
    spoil(settings, 1)
    (settings.data / "images" / "2.jpg").write_bytes(b"")
    (settings.data / "images" / "3.jpg").unlink()
    summary = do(settings)
    assert counts(summary) == (N - 3, 1, 2, N - 1)
    lines = sorted(rejects_path(summary.path).read_text().splitlines()[1:])
    assert lines == [
        '1.jpg,images/1.jpg,unreadable,"not an image, or of a kind that is not read"',
        "2.jpg,images/2.jpg,unreadable,the file is empty (0 bytes)",
        "3.jpg,3.jpg,missing,no such file",
    ]
    assert "1 missing, 2 unreadable, listed in train.rejects.csv" in describe(summary, 2)
    cache = open_cache(summary.path)
    assert len(cache.ok_rows) == N - 3
    assert verify(summary.path) == []


def test_unreadable_photographs_are_not_tried_again_unless_asked(
    settings: Settings, decoded: list[str]
) -> None:
    spoil(settings, 1, 2)
    do(settings)
    decoded.clear()
    assert counts(do(settings)) == (N - 2, 0, 2, 0)
    assert decoded == []
    again = replace(settings, reuse=Reuse(retry_failed=True))
    assert counts(do(again)) == (N - 2, 0, 2, 2)
    assert sorted(decoded) == ["1.jpg", "2.jpg"]


def test_a_mended_photograph_is_taken_when_failures_are_retried(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, *rest: object) -> object:
        if source.name == "7.jpg":
            raise pipeline.Unreadable("a fault of this machine")
        return read_photograph(source, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "read_photograph", refuse)
        assert counts(do(settings)) == (N - 1, 0, 1, N)
    assert read_rejects(settings.out / "train.h5") == {"7.jpg": "a fault of this machine"}
    assert counts(do(replace(settings, reuse=Reuse(retry_failed=True)))) == (N, 0, 0, 1)
    assert read_rejects(settings.out / "train.h5") == {}
    assert_as_if_made_at_once(settings)


def test_too_many_unreadable_photographs_end_the_run_and_keep_its_work(
    settings: Settings, decoded: list[str]
) -> None:
    spoil(settings, *range(6))
    with pytest.raises(TooManyFailuresError) as caught:
        do(settings)
    path = settings.out / "train.h5"
    assert str(caught.value) == (
        "6 of 100 photographs failed, more than --max-failure-rate 0.05 allows (6 x not an image, "
        f"or of a kind that is not read). The work so far is kept in {partial_path(path)}; repair "
        "the photographs and give the same command with --retry-failed, or allow a higher rate."
    )
    assert partial_path(path).exists()
    assert not path.exists()
    decoded.clear()
    assert counts(do(lax(settings))) == (N - 6, 0, 6, 0)
    assert decoded == []


def test_just_the_allowed_share_of_failures_is_no_error(settings: Settings) -> None:
    spoil(settings, *range(5))
    assert counts(do(settings)) == (N - 5, 0, 5, N)


def test_failures_are_looked_at_after_two_hundred_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 1000)
    settings = settings_for(tmp_path)
    spoil(settings, *range(0, 1000, 2))
    opener = Opener()
    with pytest.raises(TooManyFailuresError, match=r"photographs failed"):
        extract(settings, opener)
    assert opener.engine is not None
    assert opener.engine.batches < 25


def test_missing_photographs_are_no_failures_unless_counted(settings: Settings) -> None:
    for number in range(50):
        (settings.data / "images" / f"{number}.jpg").unlink()
    assert counts(do(settings)) == (50, 50, 0, 50)
    strict = replace(settings, failures=FailurePolicy(count_missing=True), out=settings.out / "b")
    with pytest.raises(TooManyFailuresError, match="50 of 100 photographs failed"):
        do(strict)


# --- nothing to read -----------------------------------------------------------------------------


class VanishingEngine(CheapEngine):
    """Moves a folder away during its tenth batch; `instead` may put something in its place."""

    parallel = 1

    def __init__(self, folder: Path, instead: Callable[[Path], object] = str) -> None:
        super().__init__()
        self.folder, self.instead = folder, instead

    def features(self, pixels_u8: np.ndarray) -> np.ndarray:
        if self.batches == 9:
            self.folder.rename(self.folder.with_name("gone"))
            self.instead(self.folder)
        return super().features(pixels_u8)


@pytest.mark.parametrize("name", ["data", "data/images"])
def test_a_folder_that_vanishes_ends_the_run_and_marks_nothing_missing(
    tmp_path: Path, name: str
) -> None:
    make_folder(tmp_path / "data", 600)
    settings, folder = settings_for(tmp_path), tmp_path / name
    with pytest.raises(NoPhotographsError) as caught:
        extract(settings, lambda *_: VanishingEngine(folder))
    assert str(caught.value) == (
        f"The folder {tmp_path / 'data' / 'images'} has vanished during the run. What is written "
        "is kept: bring the folder back and give the same command again."
    )
    folder.with_name("gone").rename(folder)
    with h5py.File(partial_path(settings.out / "train.h5")) as file:
        status = file["status"][:]
    assert set(status.tolist()) == {Status.PENDING, Status.OK}
    summary = do(settings)
    assert counts(summary)[:3] == (600, 0, 0)
    assert summary.extracted < 600
    assert_as_if_made_at_once(settings)


@pytest.mark.parametrize("instead", [Path.touch, lambda path: path.symlink_to(path.name)])
def test_a_file_or_a_loop_in_the_place_of_the_folder_marks_nothing_unreadable(
    tmp_path: Path, instead: Callable[[Path], object]
) -> None:
    make_folder(tmp_path / "data", 600)
    settings, folder = settings_for(tmp_path), tmp_path / "data" / "images"
    with pytest.raises(NoPhotographsError, match="images has vanished during the run"):
        extract(settings, lambda *_: VanishingEngine(folder, instead))
    folder.unlink()
    folder.with_name("gone").rename(folder)
    assert counts(do(settings))[:3] == (600, 0, 0)


def test_an_output_folder_that_vanishes_during_the_run_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 600)
    settings = settings_for(tmp_path)
    partial = partial_path(settings.out / "train.h5")
    with pytest.raises(StorageError) as caught:
        extract(settings, lambda *_: VanishingEngine(settings.out))
    assert str(caught.value) == (
        f"{partial} has vanished during the run: its folder was moved or deleted. Bring it back "
        "and give the same command again."
    )
    settings.out.with_name("gone").rename(settings.out)
    assert counts(do(settings)) == (600, 0, 0, 0)


def test_one_photograph_that_goes_during_the_run_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opener(*_: object) -> CheapEngine:
        (settings.data / "images" / "50.jpg").unlink()
        return CheapEngine()

    (summary,) = extract(settings, opener)
    assert counts(summary) == (N - 1, 1, 0, N)
    assert counts(do(settings)) == (N - 1, 1, 0, 0)


# --- another extractor ---------------------------------------------------------------------------


def test_a_file_says_which_numbers_its_layers_may_hold(settings: Settings) -> None:
    cache = open_cache(do(settings).path)
    assert cache.header.provenance.value_ranges == {"top": (0.0, 6.0)}


def test_overwrite_makes_anew_with_another_extractor(settings: Settings) -> None:
    do(settings)
    changed = replace(settings, views="flip", reuse=Reuse(overwrite=True))
    assert counts(do(changed)) == (N, 0, 0, N)
    assert open_cache(settings.out / "train.h5").spec.views == ("center", "center_flipped")


def test_overwrite_keeps_the_old_file_until_the_new_one_is_whole(settings: Settings) -> None:
    path = do(settings).path
    content = path.read_bytes()

    class Broken(CheapEngine):
        def features(self, pixels_u8: np.ndarray) -> np.ndarray:
            raise KeyboardInterrupt

    anew = replace(settings, reuse=Reuse(overwrite=True))
    with pytest.raises(KeyboardInterrupt):
        extract(anew, lambda *_: Broken())
    assert path.read_bytes() == content
    assert counts(do(anew)) == (N, 0, 0, N)
    assert_as_if_made_at_once(settings)


# --- interruptions and other processes -----------------------------------------------------------


class InterruptedEngine(CheapEngine):
    """Is interrupted at its tenth batch."""

    def features(self, pixels_u8: np.ndarray) -> np.ndarray:
        if self.batches == 9:
            raise KeyboardInterrupt
        return super().features(pixels_u8)


def test_an_interrupted_run_goes_on_and_equals_an_uninterrupted_one(
    tmp_path: Path, decoded: list[str]
) -> None:
    make_folder(tmp_path / "data", 300)
    settings = settings_for(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        extract(settings, lambda *_: InterruptedEngine())
    assert partial_path(settings.out / "train.h5").exists()
    decoded.clear()
    summary = do(settings)
    assert summary.ok == 300
    assert len(decoded) == summary.extracted < 300
    assert_as_if_made_at_once(settings)


def test_a_second_engine_is_noted_beside_the_first(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 300)
    settings = settings_for(tmp_path)

    class Other(CheapEngine):
        label = "other"

    with pytest.raises(KeyboardInterrupt):
        extract(settings, lambda *_: InterruptedEngine())
    extract(settings, lambda *_: Other())
    assert open_cache(settings.out / "train.h5").header.provenance.engine == "cheap; other"


def test_a_cache_that_another_writes_is_refused(settings: Settings) -> None:
    path = settings.out / "train.h5"
    settings.out.mkdir()
    with exclusive(path), pytest.raises(CacheLockedError) as caught:
        do(settings)
    assert f"{path} is being written by process {os.getpid()} on host " in str(caught.value)


def test_a_file_in_the_folders_place_is_said_to_be_one(settings: Settings) -> None:
    settings.out.write_text("x")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        do(settings)


def test_folders_may_have_any_name_and_a_photograph_only_one_in_utf_8(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    data, out = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/d\xe9", b"/f\xe9"))
    make_folder(data, 3)
    photograph = data / "images" / os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(data / "images" / "0.jpg", photograph)
    with (data / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("café.jpg,train,1,2,3,4,5\n")
    settings = replace(settings, data=data, out=out)
    summary = do(settings)
    assert counts(summary) == (3, 1, 0, 3)
    assert open_cache(summary.path).data_root == data.resolve()
    assert verify(summary.path) == []
    with (data / "labels.csv").open("ab") as file:
        file.write(b"caf\xe9.jpg,train,1,2,3,4,5\n")
    with pytest.raises(LabelError, match="line 6: the byte 0xe9 is not UTF-8 text"):
        do(settings)


def test_a_bug_in_an_engine_keeps_its_own_error(settings: Settings) -> None:
    class Broken(CheapEngine):
        def features(self, pixels_u8: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        extract(settings, lambda *_: Broken())


def test_a_file_marked_incomplete_is_gone_on_with(settings: Settings) -> None:
    path = do(settings).path
    with InPlace(path) as file:
        file.write("status", 10, np.full(10, Status.PENDING))
        file.set("complete", 0)
    path.rename(partial_path(path))
    assert counts(do(settings)) == (N, 0, 0, 10)
    assert_as_if_made_at_once(settings)


# --- the real sets -------------------------------------------------------------------------------


def test_the_real_set_is_extracted_whole(oasis: Path, tmp_path: Path) -> None:
    settings = replace(settings_for(tmp_path), data=oasis, splits=SPLITS)
    summaries = extract(settings, Opener())
    assert sum(summary.ok for summary in summaries) == 519
    assert sum(summary.unreadable + summary.missing for summary in summaries) == 0
    groups = [set(open_cache(summary.path).labels.group.tolist()) for summary in summaries]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


@pytest.mark.slow
def test_a_torso_of_ava_is_extracted_and_its_missing_counted(ava: Path, tmp_path: Path) -> None:
    settings = replace(settings_for(tmp_path), data=ava, splits=SPLITS)
    summaries = extract(settings, Opener())
    assert sum(summary.ok for summary in summaries) == 9
    assert sum(summary.missing for summary in summaries) == 87_080 - 9
