"""What `extract --dry-run` promises: counts, room and time, and that nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cache.errors import StaleCacheError, StorageError
from extract.run.dryrun import dry_run
from extract.run.extract import extract
from extract.run.settings import Settings, Shard
from tests.cheap import Opener, make_folder, settings_for

N = 40


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Forty photographs, one of them missing."""
    data = make_folder(tmp_path / "data", N)
    (data / "images" / "7.jpg").unlink()
    return settings_for(tmp_path)


def facts(settings: Settings, opener: Opener | None = None) -> dict:
    return json.loads(dry_run(settings, opener or Opener())[1])


def test_a_dry_run_counts_and_writes_nothing(settings: Settings) -> None:
    text, as_json = dry_run(settings, Opener())
    assert f"{N} photographs, 1 missing, {N - 1} to extract" in text
    assert "Time: about" in text
    assert json.loads(as_json)["images_per_second"] > 0
    assert not settings.out.exists()


def test_the_room_is_that_of_the_file_to_a_few_percent(settings: Settings) -> None:
    promised = facts(settings)["splits"][0]["bytes"]
    path = extract(settings, Opener())[0].path
    assert promised == pytest.approx(path.stat().st_size, rel=0.15)


def test_after_the_extraction_nothing_is_left_and_no_engine_is_opened(settings: Settings) -> None:
    extract(settings, Opener())
    opener = Opener()
    text, _ = dry_run(settings, opener)
    assert "Nothing to do." in text
    assert opener.engine is None


def test_only_new_and_changed_photographs_are_counted(settings: Settings) -> None:
    extract(replace(settings, split=replace(settings.split, limit=25)), Opener())
    assert facts(settings)["splits"][0]["to_extract"] == N - 1 - 25


def test_a_shard_is_counted_by_itself(settings: Settings) -> None:
    parts = [
        facts(replace(settings, shard=Shard(number, 3)))["splits"][0]["to_extract"]
        for number in (1, 2, 3)
    ]
    assert sum(parts) == N - 1
    assert max(parts) - min(parts) <= 2


def test_a_stale_cache_is_refused_before_any_work(settings: Settings) -> None:
    extract(settings, Opener())
    with pytest.raises(StaleCacheError, match="its dtype is float16, this command's is"):
        dry_run(replace(settings, dtype="float32"), Opener())


IN_THE_WAY = "a file stands where a folder is needed. Choose another one."
LOOP = (
    "Too many levels of symbolic links. What was finished before is kept; solve this and give the "
    "same command again."
)


@pytest.mark.parametrize(
    ("below", "link", "reason"),
    [
        ("", "", IN_THE_WAY),
        ("deeper", "", IN_THE_WAY),
        ("", "features", IN_THE_WAY),
        ("deeper", "features", LOOP),
        ("deeper/still", "features", LOOP),
        ("deeper", "nowhere", IN_THE_WAY),
    ],
)
def test_a_file_in_the_folders_place_is_refused_as_the_extraction_refuses_it(
    settings: Settings, below: str, link: str, reason: str
) -> None:
    if link:
        settings.out.symlink_to(link.replace("features", settings.out.name))
    else:
        settings.out.write_text("x")
    settings = replace(settings, out=settings.out / below)
    said = []
    for run in (dry_run, extract):
        with pytest.raises(StorageError) as caught:
            run(settings, Opener())
        said.append(str(caught.value))
    assert said == 2 * [f"{settings.out} cannot be written: {reason}"]


def test_a_shard_is_counted_without_what_a_file_of_the_whole_split_holds(
    settings: Settings,
) -> None:
    extract(settings, Opener())
    assert facts(replace(settings, shard=Shard(1, 3)))["splits"][0]["to_extract"] == 0
