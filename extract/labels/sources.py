"""Which labels a folder holds, and who reads them.

A new kind of labels is its own module with a `SOURCE`, and a name in `SOURCES`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cache.console import note
from cache.errors import LabelError
from cache.places import file_sha256
from extract.labels import ava, csv
from extract.labels.records import NOTE_FILE, FolderLabels

SOURCES = (ava.SOURCE, csv.SOURCE)


def read_labels(data: Path) -> FolderLabels:
    """Read the labels of a folder, from the one labels file that it holds.

    Raises:
        LabelError: there is none, or more than one, or it is not right or cannot be read.
    """
    found = [source for source in SOURCES if (data / source.file).is_file()]
    if len(found) > 1:
        raise LabelError(
            f"{data} holds both {' and '.join(source.file for source in found)}; move one of them "
            "away, so that it is clear which votes are meant."
        )
    if not found:
        known = " nor ".join(f"{source.file} ({source.content})" for source in SOURCES)
        raise LabelError(f"{data} holds neither {known}. Name the folder with --data.")
    try:
        # The checksums first: of files that change meanwhile it is then said that they have.
        files = label_files(data)
        labels = replace(found[0].read(data), files=files)
    except OSError as error:
        raise LabelError(
            f"The labels in {data} cannot be read: {error.filename}: {error.strerror}. Give "
            "yourself the right to read the folder and its files, or see whether its disk is there."
        ) from None
    if labels.bad.count:
        note(labels.bad.summary(labels.source))
    for remark in labels.remarks:
        note(remark)
    return labels


def label_files(data: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that labels, splits and the remark come from, by its name.

    '' for one that is not there.
    """
    found = [source for source in SOURCES if (data / source.file).is_file()]
    names = [name for source in found for name in (source.file, *source.beside)]
    return {
        name: file_sha256(data / name) if (data / name).is_file() else ""
        for name in (*names, NOTE_FILE)
    }
