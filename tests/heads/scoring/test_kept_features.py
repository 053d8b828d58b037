"""Features are kept for a second look: of the same file and the same extractor alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.errors import FormatError, StaleCacheError
from tests.cheap import Opener
from tests.heads.scoring.opened import changed, mixed, opened
from tests.heads.studio import Studio, picture, save_pictures


def test_kept_features_are_not_computed_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", mixed(tmp_path / "photos")
    first = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    second = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine.batches == 0
    assert first.equals(second)


def test_a_changed_photograph_is_read_again(
    studio: Studio, cheap_engine: Opener, tmp_path: Path
) -> None:
    keep, paths = tmp_path / "kept", save_pictures(tmp_path / "photos", [1, 2, 3])
    opened(studio, "ridge", keep=keep).frame(paths)
    picture(50, (99, 99)).save(paths[1])
    again = opened(studio, "ridge", keep=keep).frame(paths)
    assert cheap_engine.engine is not None
    assert cheap_engine.engine.batches == 1
    assert again.equals(opened(studio, "ridge").frame(paths))


@pytest.mark.usefixtures("cheap_engine")
def test_kept_features_of_another_extractor_are_refused(studio: Studio, tmp_path: Path) -> None:
    from heads.runs.files import read_config
    from heads.scoring.kept_features import KeptFeatures

    spec = read_config(studio.run("ridge")).extractor
    keep = tmp_path / "kept"
    KeptFeatures(keep, spec, lambda sources: iter(()))
    other = read_config(changed(studio, tmp_path, "dtype", "float32")).extractor
    with pytest.raises(StaleCacheError, match="dtype = 'float16'; this run needs 'float32'"):
        KeptFeatures(keep, other, lambda sources: iter(()))
    keep.write_text("these are no features at all, but a text of some length" * 20)
    with pytest.raises(FormatError, match=r"holds no kept features.*--cache"):
        KeptFeatures(keep, spec, lambda sources: iter(()))
