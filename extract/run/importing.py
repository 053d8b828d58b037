"""Caches of features that were made elsewhere: `cache import`.

Labels and splits are those of an extraction; in place of photographs and a network come vectors
that somebody has. Imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.console import note
from cache.errors import FormatError, LabelError, MismatchError, StorageError
from cache.files import check_output, exclusive, publish, scratch_folder, storage_errors
from cache.frameworks import installed_versions
from cache.labels import LabelTable, Manifest, mean_of_votes
from cache.rejects import journal_path, rejects_path
from cache.resume import MARK, Reuse, open_writer
from cache.schema import FileFacts, Provenance
from cache.store import partial_path
from cache.text import kept_name, quoted
from cache.types import SPLITS, ExtractorSpec, IntArray, Scale, Status
from cache.writer import Block, CacheWriter, now
from extract.labels.pairs import pairs_within, put_pairs
from extract.labels.records import FolderLabels, empty_text, read_note
from extract.labels.sources import read_labels
from extract.labels.splits import SplitSettings, make_manifests
from extract.run.vectors import Vectors, checked, open_vectors

SHOWN = 3


@dataclass(frozen=True)
class Import:
    """Everything that one `cache import` decides.

    `labels` is the file of labels, or a folder that holds one, to which the photographs' paths are
    relative; None where the features' files say all, as those of `cache export` do. `extractor`
    is what people call the maker of the features.
    """

    out: Path
    features: tuple[Path, ...]
    labels: Path | None
    extractor: str
    scale: tuple[float, float] | None = None
    split: SplitSettings = field(default_factory=SplitSettings)
    overwrite: bool = False


def import_features(settings: Import) -> list[Manifest]:
    """Write a cache of each split, and return their rows and labels.

    None is put in its place before all are whole.

    Raises:
        FormatError: a file holds no features, other ones than the first, or numbers that no head
            can learn from.
        MismatchError: vectors and labels do not belong together.
        LabelError: the labels are not right.
        StorageError: there is such a cache already, or the disk refuses.
    """
    _check_place(settings)
    parts = [part for path in settings.features for part in open_vectors(path)]
    spec = _spec(settings.extractor, parts)
    labels, root = _labels(settings, parts)
    rows = match(parts, labels)
    split = settings.split
    if root is None and split.threshold is None:
        split = replace(split, threshold=labels.table.threshold)
    made = make_manifests(labels, _no_facts(len(labels)), _splits(labels), split)
    manifests = [manifest for manifest, _ in made]
    origin = Provenance(
        data_root="" if root is None else kept_name(root.resolve()),
        label_note="" if root is None else read_note(root),
        label_files=labels.files,
        weights_origin=f"imported from {_listed([str(path) for path in settings.features])}",
        library_versions=installed_versions("aesthetic-heads", "numpy", "h5py"),
        created=now(),
    )
    with storage_errors(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
        _write(settings, parts, rows, labels, manifests, spec, origin)
    return manifests


def _check_place(settings: Import) -> None:
    for split in SPLITS:
        path = settings.out / f"{split}.h5"
        for there in (path, partial_path(path)):
            if there.exists() and not settings.overwrite:
                raise StorageError(f"{there} exists. Name another folder, or give --overwrite.")
        check_output(path, MARK)


def _spec(extractor: str, parts: Sequence[Vectors]) -> ExtractorSpec:
    """Describe the features, which are of one kind in all files."""
    first = parts[0]
    for other in parts[1:]:
        for what, mine, theirs in (
            ("views and numbers", first.shape[1:], other.shape[1:]),
            ("dtype", first.dtype, other.dtype),
            ("names of photographs", first.ids is not None, other.ids is not None),
        ):
            if mine != theirs:
                raise FormatError(
                    f"{first.path} and {other.path} cannot be imported together: their {what} "
                    f"differ, {mine} and {theirs}."
                )
    if first.dtype.itemsize == 8:
        note(f"{first.path}: float64 numbers are kept as float32, with seven digits.")
    return ExtractorSpec.external(extractor, first.shape[1], first.shape[2], first.stored)


def _splits(labels: FolderLabels) -> tuple[str, ...]:
    """Return the splits to make: all, but for those that a split column leaves out."""
    if labels.split is None or set(labels.split.tolist()) == {"train", "test"}:
        return SPLITS
    named = tuple(split for split in SPLITS if split in labels.split)
    for split in set(SPLITS).difference(named):
        note(f"The split column names no {split}, so no {split}.h5 is made.")
    return named


# --- labels ---------------------------------------------------------------------------------------


def _labels(settings: Import, parts: Sequence[Vectors]) -> tuple[FolderLabels, Path | None]:
    """Return the labels, and the folder that their paths are relative to, if there is one."""
    place = settings.labels
    if place is None:
        return _own_labels(parts), None
    if place.is_dir():
        return read_labels(place, scale=settings.scale), place
    return read_labels(place.parent, place.name, settings.scale), place.parent


def _own_labels(parts: Sequence[Vectors]) -> FolderLabels:
    """Return the labels that `cache export` wrote beside the features.

    Raises:
        LabelError: there are none.
    """
    first = parts[0]
    for part in parts:
        if part.ids is None or not {"mean", "split", "scale_min"} <= part.columns.keys():
            raise LabelError(
                f"{part.path} holds no labels beside the features, as files of `cache export` do. "
                "Name their file with --labels."
            )
        if part.columns.keys() != first.columns.keys():
            raise LabelError(f"{first.path} and {part.path} do not hold the same labels.")
    columns = {n: np.concatenate([part.columns[n] for part in parts]) for n in first.columns}
    ids = np.concatenate([part.ids for part in parts if part.ids is not None])
    # Files of earlier versions have no threshold.
    thresholds = columns.get("threshold", empty_text(len(ids)))
    ends = columns["scale_min"].tolist(), columns["scale_max"].tolist(), thresholds.tolist()
    scales = {*zip(*ends, strict=True)}
    if len(scales) > 1:
        raise LabelError(
            f"{first.path} and those beside it hold labels of several scales or thresholds."
        )
    lo, hi, threshold = scales.pop()
    scale = Scale(lo, hi)
    votes = _side_by_side(columns, "r")
    table = LabelTable(
        image_id=ids,
        path=columns.get("path", empty_text(len(ids))),
        group=columns.get("group", empty_text(len(ids))),
        votes=votes,
        mean=columns["mean"].astype(np.float64) if votes is None else mean_of_votes(votes),
        tags=_side_by_side(columns, "tag_"),
        challenge=columns.get("challenge"),
        scale=scale,
        threshold=threshold or scale.usual_threshold,
    )
    return FolderLabels(table, first.path, split=columns["split"])


def _side_by_side(columns: Mapping[str, npt.NDArray[Any]], start: str) -> Any:
    """Return the columns start1, start2 and so on as one (n, K) int32; None without any."""
    names = list(takewhile(columns.__contains__, (f"{start}{k}" for k in count(1))))
    if not names:
        return None
    return np.stack([columns[name] for name in names], axis=1).astype(np.int32)


# --- which vector is whose ------------------------------------------------------------------------


def match(parts: Sequence[Vectors], labels: FolderLabels) -> IntArray:
    """Return (n,) each vector's row in the labels, -1 for one that has none.

    By the photographs' names, where the files have them: an id, a path as the labels have it, or a
    longer path that ends so. Otherwise by order, if there are as many vectors as rows.

    Raises:
        MismatchError: there are too few or too many, or a photograph has several vectors or none.
    """
    if parts[0].ids is None:
        return _by_order(parts, labels)
    ids = np.concatenate([part.ids for part in parts if part.ids is not None])
    rows = _by_name(ids.tolist(), labels)
    _check_once(parts, ids, rows, labels)
    left_out = int((rows < 0).sum())
    if left_out:
        first = quoted(str(ids[np.argmin(rows)]))
        note(f"{left_out:,} vectors are of photographs without labels, and left out: {first}, ...")
    return rows


def _by_order(parts: Sequence[Vectors], labels: FolderLabels) -> IntArray:
    """Return the rows in order. Raises MismatchError where that may give vectors to others."""
    n, name = sum(part.shape[0] for part in parts), labels.source.name
    problem = ""
    if not labels.one_row_each:
        problem = f"{name} has a row for each rating, in any order"
    elif labels.bad.count:
        problem = f"rows of {name} were passed over; repair them"
    elif n != len(labels):
        problem = f"there are {n:,} vectors and {len(labels):,} labelled photographs in {name}"
    if problem:
        raise MismatchError(
            f"{parts[0].path} does not name its photographs, so the order of {name} has to say "
            f"which vector is whose; but {problem}. Or save the names beside the vectors: "
            "numpy.savez(FILE, image_id=names, features=vectors)."
        )
    note(f"{parts[0].path} does not name its photographs: they are taken in the order of {name}.")
    return np.arange(n, dtype=np.int64)


def _by_name(ids: Sequence[str], labels: FolderLabels) -> IntArray:
    rows = {name: row for row, name in enumerate(labels.table.path.tolist()) if name}
    rows |= {name: row for row, name in enumerate(labels.table.image_id.tolist())}
    found, shortened = [], ""
    for name in ids:
        row = rows.get(name, -1)
        rest = name
        while row < 0 and "/" in rest:
            rest = rest.partition("/")[2]
            row = rows.get(rest, -1)
        if row >= 0 and rest != name and not shortened:
            shortened = f"{quoted(name)} is taken for {quoted(rest)}"
        found.append(row)
    if shortened:
        note(f"Photographs are known by the end of their paths: {shortened}, for one.")
    return np.array(found, np.int64)


def _check_once(
    parts: Sequence[Vectors], ids: npt.NDArray[np.str_], rows: IntArray, labels: FolderLabels
) -> None:
    """Refuse a photograph with several vectors, or with none. Raises MismatchError."""
    files = _listed([str(part.path) for part in parts])
    counts = np.bincount(rows[rows >= 0], minlength=len(labels))
    if (counts > 1).any():
        row = int(np.argmax(counts > 1))
        names = _listed([quoted(name) for name in ids[rows == row].tolist()])
        raise MismatchError(
            f"{quoted(str(labels.table.image_id[row]))} has {counts[row]} vectors in {files}: "
            f"{names}. Keep one of each photograph."
        )
    without = labels.table.image_id[counts == 0].tolist()
    if without:
        raise MismatchError(
            f"{len(without):,} of the {len(labels):,} photographs of {labels.source} have no "
            f"vector in {files}: {_listed([quoted(name) for name in without])}; the vectors are of "
            f"{_listed([quoted(name) for name in ids.tolist()])}. Name all files of vectors after "
            "--features, call photographs as the labels do, or take those without a vector out of "
            "the labels."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)


# --- writing --------------------------------------------------------------------------------------


def _write(
    settings: Import,
    parts: Sequence[Vectors],
    rows: IntArray,
    labels: FolderLabels,
    manifests: Sequence[Manifest],
    spec: ExtractorSpec,
    origin: Provenance,
) -> None:
    """Write all splits in a folder of its own, and then put them in their place."""
    finals = [settings.out / f"{each.split_rule.split}.h5" for each in manifests]
    with ExitStack() as held:
        for final in finals:
            held.enter_context(exclusive(final))
        folder = held.enter_context(scratch_folder(settings.out / "import", wait=False))
        writers = [
            held.enter_context(_writer(folder / final.name, manifest, spec, origin))
            for final, manifest in zip(finals, manifests, strict=True)
        ]
        _fill(writers, parts, rows, labels)
        for writer, final in zip(writers, finals, strict=True):
            made = writer.finish()
            publish(rejects_path(made), rejects_path(final))
            publish(made, final)
            put_pairs(settings.out, final.stem, pairs_within(labels, writer.manifest))
            for left in (partial_path(final), journal_path(final)):
                left.unlink(missing_ok=True)


def _writer(path: Path, manifest: Manifest, spec: ExtractorSpec, origin: Provenance) -> CacheWriter:
    facts = _no_facts(len(manifest))
    writer = open_writer(path, manifest, spec, facts, origin, Reuse(overwrite=True))
    if writer is None:
        raise RuntimeError("an overwriting writer always writes")
    writer.record_engine("imported")
    return writer


def _no_facts(n: int) -> FileFacts:
    """Say that nothing is known of n photographs' files, which need not be here."""
    return FileFacts(np.zeros(n, np.int64), np.zeros(n, np.int64))


def _fill(
    writers: Sequence[CacheWriter], parts: Sequence[Vectors], rows: IntArray, labels: FolderLabels
) -> None:
    """Read the vectors in order, and write each to its split's row; a limit leaves some out."""
    file, place = (np.full(len(labels), -1, np.int64) for _ in range(2))
    number = {name: row for row, name in enumerate(labels.table.image_id.tolist())}
    for k, writer in enumerate(writers):
        of_split = np.array([number[n] for n in writer.manifest.labels.image_id.tolist()])
        file[of_split], place[of_split] = k, np.arange(len(of_split))
    done = 0
    for part in parts:
        for start, block in checked(part):
            those = rows[done + start : done + start + len(block)]
            split = np.where(those < 0, -1, file[those])
            for k, writer in enumerate(writers):
                if (split == k).any():
                    writer.write(_block(place[those[split == k]], block[split == k]))
        done += part.shape[0]


def _block(rows: IntArray, features: npt.NDArray[Any]) -> Block:
    n = len(rows)
    ok, size = np.full(n, Status.OK, np.uint8), np.zeros((n, 2), np.int32)
    return Block(rows, features, ok, size, {})
