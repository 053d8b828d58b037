"""What changed since the last extraction is said, arrives, and costs no photograph."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from cache.errors import LabelError
from cache.places import changed_labels
from cache.resume import Reuse
from cache.store import open_cache
from cache.types import SPLITS
from cache.verify import verify
from extract.labels.splits import SplitSettings
from extract.run.extract import extract
from extract.run.settings import Settings
from heads.data.splits import load_splits
from tests.cheap import Opener, make_folder, photograph, save_labels, settings_for

N = 40


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Forty photographs of all three splits, by hash."""
    make_folder(tmp_path / "data", N)
    labels = tmp_path / "data" / "labels.csv"
    text = labels.read_text().replace("file,split,", "file,")
    labels.write_text(text.replace(",train,", ","))
    return replace(settings_for(tmp_path), splits=SPLITS)


def do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Extract, and return what was said of changes."""
    capsys.readouterr()
    opener = Opener()
    extract(settings, opener)
    said = capsys.readouterr().err.splitlines()
    return [line for line in said if "since it was made" in line or "other labels than" in line]


def row_of(settings: Settings, split: str) -> str:
    """Return the name of a photograph of a split."""
    return str(open_cache(settings.out / f"{split}.h5").labels.image_id[0])


def change_votes(settings: Settings, name: str) -> None:
    labels = settings.data / "labels.csv"
    text, n = re.subn(rf"^{name},", f"{name},9", labels.read_text(), flags=re.M)
    assert n == 1
    labels.write_text(text)


def test_nothing_is_said_where_nothing_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert do(settings, capsys) == []
    assert do(settings, capsys) == []


def test_other_labels_are_counted_split_by_split(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    change_votes(settings, row_of(settings, "test"))
    out = settings.out
    unchanged = "since it was made, the files of labels have changed, but no label of this split."
    assert do(settings, capsys) == [
        f"{out}/train.h5: {unchanged}",
        f"{out}/val.h5: {unchanged}",
        f"{out}/test.h5: since it was made, 1 photograph got other labels.",
    ]
    assert do(settings, capsys) == []
    assert all(verify(out / f"{split}.h5") == [] for split in SPLITS)


def test_photographs_that_came_and_went_and_other_rules_are_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(settings, splits=("train",))
    save_labels(settings.data, range(N))
    do(one, capsys)
    for number in (N, N + 1):
        photograph(number).save(settings.data / "images" / f"{number}.jpg")
    save_labels(settings.data, range(1, N + 2))
    path = settings.out / "train.h5"
    more = replace(one, split=SplitSettings(threshold="2", seed=3))
    assert do(more, capsys) == [
        f"{path}: since it was made, 2 photographs came into the split; 1 photograph left it; the "
        "threshold went from 3 to 2; the seed went from 0 to 3."
    ]


def test_the_splits_that_stay_behind_are_named(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    change_votes(settings, row_of(settings, "train"))
    out = settings.out
    assert do(replace(settings, splits=("train",)), capsys)[0] == (
        f"{out}/val.h5 and {out}/test.h5 were made from other labels than there are now; `extract "
        "--split all` with the same options brings all splits up to date."
    )


def test_heads_say_so_when_labels_changed_since(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    load_splits(settings.out)
    assert capsys.readouterr().err == ""
    change_votes(settings, row_of(settings, "test"))
    load_splits(settings.out)
    assert capsys.readouterr().err.startswith(f"{settings.data}/labels.csv has changed since ")
    (settings.data / "labels.csv").rename(settings.data / "away.csv")
    load_splits(settings.out)
    assert capsys.readouterr().err == ""


def test_a_remark_arrives_changes_and_goes_without_a_photograph_being_read(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    note = settings.data / "labels-note.txt"
    for text in ("simulated", "simulated votes, an even longer remark " * 10, ""):
        note.write_text(text)
        said = do(settings, capsys)
        assert said[0].startswith(f"{settings.out}/train.h5: since it was made, the remark on the ")
        for split in SPLITS:
            assert open_cache(settings.out / f"{split}.h5").label_note == text.strip()
    note.write_text("once more")
    do(settings, capsys)
    note.unlink()
    opener = Opener()
    extract(settings, opener)
    assert opener.engine is None
    assert open_cache(settings.out / "test.h5").label_note == ""


def test_a_new_place_is_noted_and_no_photograph_is_read(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    before = open_cache(settings.out / "test.h5")
    new = settings.data.rename(tmp_path / "pictures")
    opener = Opener()
    extract(replace(settings, data=new), opener)
    assert opener.engine is None
    assert f"the photographs lie in {new} now" in capsys.readouterr().err
    after = open_cache(settings.out / "test.h5")
    assert after.data_root == new
    assert after.manifest_sha256 == before.manifest_sha256
    assert (after.crc32 == before.crc32).all()
    assert do(replace(settings, data=new), capsys) == []


def test_overwriting_compares_with_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    do(settings, capsys)
    change_votes(settings, row_of(settings, "test"))
    assert do(replace(settings, reuse=Reuse(overwrite=True)), capsys) == []


def test_an_official_list_that_is_away_does_not_split_anew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_folder(data, N)
    (data / "labels.csv").unlink()
    lines = [f"{k} {k + 1} 1 2 3 4 5 6 5 4 3 2 0 0 1" for k in range(N - 1)]
    (data / "AVA.txt").write_text("\n".join(lines) + "\n")
    listed = data / "aesthetics_image_lists" / "generic_test.jpgl"
    listed.parent.mkdir()
    listed.write_text("\n".join(map(str, range(1, 9))) + "\n")
    settings = replace(settings_for(tmp_path), splits=("train", "test"))
    extract(settings, Opener())
    before = (settings.out / "test.h5").read_bytes()
    listed.rename(data / "away")
    with pytest.raises(LabelError) as caught:
        extract(settings, Opener())
    assert str(caught.value) == (
        f"{settings.out}/train.h5 was split by the official test list, which is not in {data} any "
        "more. Bring it back; --overwrite splits all photographs anew, by hash."
    )
    assert (settings.out / "test.h5").read_bytes() == before
    extract(replace(settings, reuse=Reuse(overwrite=True)), Opener())
    assert open_cache(settings.out / "test.h5").split_rule.kind.value == "hash"


def test_a_split_of_which_every_photograph_is_another_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(settings, splits=("train",))
    photographs = range(N // 2), range(N // 2, N)
    save_labels(settings.data, photographs[0])
    do(one, capsys)
    save_labels(settings.data, photographs[1])
    assert do(one, capsys) == [
        f"{settings.out}/train.h5: since it was made, 20 photographs came into the split; 20 "
        "photographs left it."
    ]


def test_another_scale_of_the_same_means_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    one, said = replace(settings, splits=("train",)), []
    for scale in ("0,10", "1,9", "1,9"):
        rows = [f"{k}.jpg,train,5,{scale}" for k in range(N)]
        text = "\n".join(["file,split,mean,scale_min,scale_max", *rows])
        (settings.data / "labels.csv").write_text(text)
        said += do(one, capsys)
    assert said == [
        f"{settings.out}/train.h5: since it was made, the scale went from 0..10 to 1..9."
    ]


def test_labels_that_change_while_they_are_read_are_not_taken_for_those_that_were(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = settings.data / "labels.csv"

    def changed_meanwhile(data: Path) -> str:
        labels.write_text(labels.read_text() + "\n")
        return ""

    with monkeypatch.context() as patch:
        patch.setattr("extract.run.extract.read_note", changed_meanwhile)
        made = extract(settings, Opener())
    (said,) = changed_labels(open_cache(summary.path) for summary in made)
    assert said.startswith(f"{labels} has changed since {settings.out}/train.h5 and ")
