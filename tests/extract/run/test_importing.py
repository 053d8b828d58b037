"""Features made elsewhere become caches like any other, and go out and in again bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.cli import main
from cache.errors import LabelError, MismatchError, StorageError
from cache.export import export
from cache.places import changed_labels
from cache.store import open_cache
from cache.types import Status
from cache.verify import judge
from extract.labels.splits import SplitSettings
from extract.run.importing import Import, import_features
from heads import load_splits, train
from heads.cli.main import main as heads

N = 60
NAMES = [f"p{i}.jpg" for i in range(N)]
SPLITS = ("train", "val", "test")


@pytest.fixture
def mine(tmp_path: Path) -> Import:
    """Normalised float16 vectors with their names, and labels of groups of two."""
    x = np.random.default_rng(0).standard_normal((N, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.savez(tmp_path / "x.npz", features=x.astype(np.float16), image_id=NAMES[::-1])
    np.save(tmp_path / "x.npy", x[::-1].astype(np.float64))
    rows = [f"{name},g{i // 2},{1 + i % 3},2,{i % 5}" for i, name in enumerate(NAMES)]
    (tmp_path / "labels.csv").write_text("file,group,r1,r2,r3\n" + "\n".join(rows))
    return Import(tmp_path / "out", (tmp_path / "x.npz",), tmp_path / "labels.csv", "clip")


def vectors_of(folder: Path) -> dict[str, np.ndarray]:
    """Return each photograph's vectors."""
    caches = [open_cache(folder / f"{split}.h5") for split in SPLITS]
    return {
        name: vector
        for cache in caches
        for name, vector in zip(cache.labels.image_id.tolist(), cache.features, strict=True)
    }


def test_vectors_are_found_by_name_or_by_order_and_are_sound(mine: Import) -> None:
    import_features(mine)
    found = vectors_of(mine.out)
    with np.load(mine.features[0]) as arrays:
        for name, vector in zip(arrays["image_id"], arrays["features"], strict=True):
            assert np.array_equal(found[name], vector[None])
    by_order = replace(mine, out=mine.out / "2", features=(mine.features[0].with_suffix(".npy"),))
    import_features(by_order)
    for name, vector in vectors_of(by_order.out).items():
        assert vector.dtype == np.float32
        assert np.allclose(vector, found[name], atol=1e-3)
    for split in SPLITS:
        assert judge(mine.out / f"{split}.h5").ok
    cache = open_cache(mine.out / "train.h5")
    assert cache.spec.backbone == "external: clip"
    assert cache.header.provenance.engine == "imported"
    assert cache.counts[Status.OK] == cache.n_rows


@pytest.mark.parametrize("to", ["npz", "parquet"])
def test_caches_go_out_and_in_again_bit_by_bit(mine: Import, to: str) -> None:
    if to == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    two_views = np.random.default_rng(1).standard_normal((N, 2, 3)).astype(np.float16)
    np.save(mine.features[0].with_suffix(".npy"), two_views)
    mine = replace(mine, features=(mine.features[0].with_suffix(".npy"),))
    mine = replace(mine, split=SplitSettings(threshold="2.25"))
    import_features(mine)
    files = [mine.out / f"{split}.{to}" for split in SPLITS]
    for split, file in zip(SPLITS, files, strict=True):
        export(mine.out / f"{split}.h5", file, to, overwrite=False)
    again = Import(mine.out / "again", tuple(files), None, "clip")
    import_features(again)
    for split in SPLITS:
        one, other = (open_cache(each.out / f"{split}.h5") for each in (mine, again))
        assert one.features.tobytes() == other.features.tobytes()
        assert one.features.shape == other.features.shape
        assert one.threshold == other.threshold == "2.25"
        for name, column in one.labels.columns().items():
            assert column.tolist() == other.labels.columns()[name].tolist()


def test_names_may_be_longer_paths(mine: Import, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(mine.features[0]) as arrays:
        x = arrays["features"]
    np.savez(mine.features[0], features=x, image_id=[f"/far/{n}" for n in NAMES])
    import_features(mine)
    assert np.array_equal(vectors_of(mine.out)["p3.jpg"][0], x[3])
    assert "'/far/p0.jpg' is taken for 'p0.jpg', for one." in capsys.readouterr().err


def test_vectors_and_labels_that_do_not_fit_are_refused_and_leave_nothing(mine: Import) -> None:
    folder, x = mine.out.parent, np.ones((N + 1, 4), np.float32)
    twice, few, order = (folder / name for name in ("twice.npz", "few.npz", "more.npy"))
    np.savez(twice, features=x, image_id=[*NAMES, "/far/p0.jpg"])
    np.savez(few, features=x[:2], image_id=["p0.jpg", "other.jpg"])
    np.save(order, x)
    for file, words in (
        (twice, r"'p0.jpg' has 2 vectors in .*twice.npz: 'p0.jpg', '/far/p0.jpg'. Keep one"),
        (
            few,
            r"59 of the 60 photographs of .*labels.csv have no vector in .*: 'p1.jpg', ",
        ),
        (
            order,
            r"there are 61 vectors and 60 labelled photographs in labels.csv. Or save",
        ),
    ):
        with pytest.raises(MismatchError, match=words):
            import_features(replace(mine, features=(file,)))
    (folder / "ratings.csv").write_text("file,rater,rating\na.jpg,x,1\na.jpg,y,2\n")
    with pytest.raises(MismatchError, match=r"ratings.csv has a row for each rating, in any order"):
        import_features(replace(mine, features=(order,), labels=folder / "ratings.csv"))
    with pytest.raises(LabelError, match=r"x.npz holds no labels .* Name their file with --labels"):
        import_features(replace(mine, labels=None))
    assert not mine.out.exists()


def test_what_is_there_is_replaced_only_when_asked(mine: Import) -> None:
    import_features(mine)
    with pytest.raises(StorageError, match=r"train.h5 exists. Name another folder, or give --over"):
        import_features(mine)
    import_features(replace(mine, extractor="dino", overwrite=True))
    assert open_cache(mine.out / "val.h5").spec.backbone == "external: dino"
    assert sorted(path.name for path in mine.out.iterdir()) == sorted(
        name for split in SPLITS for name in (f"{split}.h5", f"{split}.rejects.csv")
    )


def test_the_command_says_what_it_made(mine: Import, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import", str(mine.out), "--features", str(mine.features[0])]
    arguments += ["--labels", str(mine.labels), "--extractor"]
    assert main([*arguments, "clip", "--threshold", "2.5"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].endswith("photographs, scale 1..3, beautiful above 2.5.")
    assert main([*arguments, " ", "--overwrite"]) == 1
    assert main([*arguments, "\u202e" + "x" * 99, "--overwrite"]) == 1
    said = capsys.readouterr().err
    assert said.count("--extractor names what made the features") == 2
    assert "such as clip-vit-b32; got '\\u202ex" in said


def test_remedies_name_the_command_that_makes_imported_caches(
    mine: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    import_features(mine)
    train, val = mine.out / "train.h5", mine.out / "val.h5"
    assert mine.labels is not None
    for name in NAMES:
        (mine.labels.parent / name).touch()
    mine.labels.write_text(mine.labels.read_text() + "\n")
    assert changed_labels([open_cache(train)]) == [
        f"{mine.labels} has changed since {train} was made; `cache import` takes it over, "
        "--overwrite."
    ]
    again = replace(mine, out=mine.out / "2", overwrite=True)
    import_features(again)
    (again.out / "val.h5").rename(val)
    with pytest.raises(MismatchError, match=r"differ\. Make all splits with one `cache import`\."):
        load_splits(mine.out)
    train.rename(val)
    with pytest.raises(
        MismatchError, match=r"back, train\.h5, and make val\.h5 with `cache import`"
    ):
        load_splits(mine.out, ["val"])


def test_runs_on_imported_features_are_neither_exported_nor_explained(
    mine: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_features(mine)
    run = str(train("ridge", load_splits(mine.out), tmp_path / "runs").path)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    photograph = str(tmp_path / "a.jpg")
    for arguments in (
        ["export", run, "--to", "keras", "--photos", photograph],
        ["explain", run, photograph],
        ["score", run, photograph],
    ):
        assert heads(arguments) == 1
        said = capsys.readouterr().err
        assert "were imported (external: clip): what makes them is not here" in said
        assert "`heads predict RUN --features DIR`" in said
