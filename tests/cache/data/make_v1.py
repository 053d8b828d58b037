"""Makes v1.h5: `python tests/cache/data/make_v1.py`, once, with the program of version 1.

The file is kept as it is; a later version gets a file of its own, made by a script of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.labels import LabelTable, Manifest, mean_of_votes
from cache.rejects import rejects_path
from cache.resume import Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.types import ExtractorSpec, Scale, SplitRule, Status
from cache.writer import Block

N, VIEWS, D = 12, ("center", "center flipped"), 16


def main() -> None:
    """Write v1.h5 beside this script: numbers that a formula gives, no random ones."""
    row = np.arange(N)
    votes = (row[:, None] + np.arange(1, 6)).astype(np.int32)
    names = [f"photo-{i}" for i in range(N - 1)] + ["фото-ä"]
    labels = LabelTable(
        image_id=np.array(names),
        path=np.array([f"images/{name}.jpg" for name in names]),
        group=np.array(["", "north", "south"] * 4),
        votes=votes,
        mean=mean_of_votes(votes),
        scale=Scale(1.0, 5.0),
        threshold="3",
        tags=np.stack([row, row * 2], axis=1).astype(np.int32),
        challenge=(row + 100).astype(np.int32),
    )
    manifest = Manifest(labels, SplitRule("val", "hash of id", 7, 0.1, 0.2, 0))
    spec = ExtractorSpec(
        backbone="mobilenet_v2_1.0_224",
        weights_sha256="5" * 64,
        scaling="tf",
        decode="pillow",
        resize=(256, 256),
        crop=(224, 224),
        interpolation="bilinear",
        views=VIEWS,
        layers=(("block_0", 0, 6), ("top", 6, D)),
        precision="float32",
        dtype="float16",
    )
    facts = FileFacts(1000 + row, 5_000_000_000 + row)
    for column in (facts.size_bytes, facts.mtime_ns):
        column[3] = -1
    origin = Provenance(
        data_root="/photographs",
        label_note="votes made up by a formula",
        weights_origin="none",
        library_versions={"aesthetic-heads": "0.1.0"},
        created="2024-05-06T07:08:09+00:00",
    )
    place = np.arange(N * len(VIEWS) * D).reshape(N, len(VIEWS), D)
    status = np.full(N - 1, Status.OK, np.uint8)
    status[4] = Status.UNREADABLE
    rows = np.delete(row, 3)
    path = Path(__file__).with_name("v1.h5")
    writer = open_writer(path, manifest, spec, facts, origin, Reuse(overwrite=True))
    if writer is None:
        raise SystemExit("An overwriting writer always writes.")
    with writer:
        writer.record_engine("keras")
        size = np.stack([640 + rows, 480 + rows], axis=1).astype(np.int32)
        writer.write(Block(rows, (place % 385 / 64)[rows], status, size, {5: "not an image"}))
        writer.finish()
    rejects_path(path).unlink()


if __name__ == "__main__":
    main()
