"""More and more photographs for one head, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads import load_splits
from heads.errors import HeadError
from heads.experiments.curve import curve


def test_sizes_rise_the_largest_has_the_plain_name_and_larger_ones_are_left_out(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_splits(planted, limit=300)
    runs = curve("ridge", data, (None, 100, 9000, 100), tmp_path)
    assert [run.metrics["n_train"] for run in runs] == [100, 300]
    assert runs[1].path == tmp_path / "ridge"
    assert runs[0].path.name.startswith("ridge-")
    assert "Left out: 9,000 photographs; train has 300." in capsys.readouterr().err


def test_no_size_that_fits_is_an_error(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted, limit=300)
    with pytest.raises(HeadError, match="No size is left: train has 300 photographs"):
        curve("ridge", data, (9000,), tmp_path)
