"""Files of vectors are read in order, some rows at a time, and refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.errors import FormatError
from extract.run import vectors
from extract.run.vectors import checked, open_vectors

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 5)).astype(np.float16)
NAMES = [f"p{i}.jpg" for i in range(7)]


def content(path: Path) -> np.ndarray:
    (one,) = open_vectors(path)
    return np.concatenate([block for _, block in checked(one)])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BLOCK_BYTES", 20)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_bit_by_bit(tmp_path: Path, save: object) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", features=X, image_id=NAMES)
    save(tmp_path / "b.npz", X[:, None])  # type: ignore[operator]
    for name in ("a.npy", "a.npz", "b.npz"):
        assert np.array_equal(content(tmp_path / name), X[:, None])
    assert open_vectors(tmp_path / "a.npz")[0].ids.tolist() == NAMES


def test_tables_with_a_column_of_vectors_are_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    import pandas as pd

    frame = pd.DataFrame({"image_path": NAMES, "clip": list(X.astype(np.float32))})
    frame.to_parquet(tmp_path / "a.parquet")
    (one,) = open_vectors(tmp_path / "a.parquet")
    assert one.ids.tolist() == NAMES
    assert np.array_equal(content(tmp_path / "a.parquet"), X[:, None].astype(np.float32))
    numbers = pd.DataFrame(X.astype(np.float32)).rename(columns=str)
    numbers.assign(file=NAMES).to_parquet(tmp_path / "c.parquet")
    assert np.array_equal(content(tmp_path / "c.parquet"), content(tmp_path / "a.parquet"))
    frame["clip"] = [row[: 5 - i % 2] for i, row in enumerate(X.astype(np.float32))]
    frame.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(FormatError, match="do not all have the same length"):
        content(tmp_path / "b.parquet")


def test_the_folder_of_clip_retrieval_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    import pandas as pd

    (tmp_path / "img_emb").mkdir()
    (tmp_path / "metadata").mkdir()
    for number, rows in (("2", slice(0, 4)), ("10", slice(4, 7))):
        np.save(tmp_path / f"img_emb/img_emb_{number}.npy", X[rows])
        frame = pd.DataFrame({"image_path": NAMES[rows], "caption": "a"})
        frame.to_parquet(tmp_path / f"metadata/metadata_{number}.parquet")
    parts = open_vectors(tmp_path)
    assert [name for part in parts for name in part.ids.tolist()] == NAMES
    (tmp_path / "metadata/metadata_10.parquet").unlink()
    with pytest.raises(FormatError, match=r"the same N in both, as clip-retrieval .* not so: 10"):
        open_vectors(tmp_path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 2), np.uint8), "holds uint8; features are float16, float32 or float64"),
        (
            np.ones(3, np.float32),
            r"the shape \(3,\); expected \(photographs, numbers\)",
        ),
        (np.ones((0, 3), np.float32), r"holds no features: its shape is \(0, 1, 3\)"),
        (np.array([[1.0], [np.nan]]), r"the vector of row 1 holds NaN or infinity as float32"),
        (np.array([[1.0], [1e300]]), r"the vector of row 1 holds NaN or infinity as float32"),
        (np.array([[1.0], [0.0]]), r"the vector of row 1 holds nothing but zeros"),
        (np.array([["a"]], object), "cannot be read: Array can't be memory-mapped: Python objects"),
    ],
)
def test_what_no_head_learns_from_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(FormatError, match=words):
        content(tmp_path / "a.npy")


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(FormatError, match="does not say whether they are float16 or float32"):
        open_vectors(tmp_path / "a.csv")
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"a.npz cannot be read: File is not a zip file"):
        open_vectors(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=X, y=X)
    with pytest.raises(FormatError, match=r"needs one array named 'features' .* it has: x, y"):
        open_vectors(tmp_path / "b.npz")
    np.savez(tmp_path / "m.npz", **{f"x{k}": X for k in range(9)})
    with pytest.raises(FormatError, match=r"it has: x0, x1, .*, x7, \.\.\.\.$"):
        open_vectors(tmp_path / "m.npz")
    np.savez(tmp_path / "c.npz", features=X, image_id=NAMES[1:])
    with pytest.raises(FormatError, match=r"its ids have the shape \(6,\), and there are 7"):
        open_vectors(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", features=np.asfortranarray(X))
    with pytest.raises(FormatError, match=r"save np.ascontiguousarray"):
        open_vectors(tmp_path / "d.npz")
