"""A ranking to look at: one self-contained HTML file of thumbnails, and copies in ranked order.

Readable on a phone and in the dark, without JavaScript; in a page of groups a few lines of it let
arrow keys walk. Thumbnails are made as the page is written, so that memory does not grow with it.
"""

from __future__ import annotations

import base64
import errno
import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from cache.errors import StorageError
from cache.files import NOT_OFFERED, PERMISSIONS, go_without, replacing, storage_errors
from heads.photos import thumbnails
from heads.runs.loaded import Opinion
from heads.runs.places import note_of
from heads.scoring.records import Ranked
from heads.scoring.scorer import Scorer
from heads.scoring.table import LABELS
from heads.web.html import environment

PIXELS = 360
LARGE_BYTES = 100_000_000
LONGEST_NAME = 255  # bytes, of most file systems
COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Card:
    """A photograph in its place among all, as the page shows it.

    `link` leads from the page to the file; `jpeg` is its thumbnail in base64, None where there is
    none any more; `opinion` the first run's and `others` those of the other runs by name; `twin`
    the name of the better photograph that it nearly equals, or ''.
    """

    place: int
    item: Ranked
    link: str
    jpeg: str | None
    opinion: Opinion
    others: list[tuple[str, Opinion]]
    twin: str

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.item.scored.path).name

    @property
    def label(self) -> str:
        """Whether the first run calls it beautiful."""
        return LABELS[self.opinion.beautiful]


def write_gallery(path: Path, ranked: Sequence[Ranked], scorer: Scorer) -> str:
    """Write the page and return a line on it.

    Args:
        path: the HTML file; an earlier one is replaced.
        ranked: the photographs, the best first.
        scorer: by what they were scored.

    Raises:
        StorageError: the file cannot be written.
    """
    with storage_errors(path):
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="replace") as file,
        ):
            file.writelines(_page(path, ranked, scorer))
        size = path.stat().st_size
    hint = " Browsers are slow with that much; --top N makes it smaller." * (size > LARGE_BYTES)
    return f"{path}: {len(ranked)} photographs, {size / 1e6:.1f} MB.{hint}"


def _page(path: Path, ranked: Sequence[Ranked], scorer: Scorer) -> Iterator[str]:
    """Yield the page piece by piece, group by group, that of the best photograph first."""
    template = environment(Path(__file__).parent).get_template("gallery.html")
    groups: dict[str, list[tuple[int, Ranked]]] = {}
    for placed in enumerate(ranked, start=1):
        groups.setdefault(placed[1].group, []).append(placed)
    everyone = chain.from_iterable(groups.values())
    jpegs = thumbnails((Path(item.scored.path) for _, item in everyone), PIXELS)
    return template.generate(
        n=len(ranked),
        n_groups=len(groups) if any(groups) else 0,
        name=scorer.names[0],
        config=scorer.runs[0].config,
        note=note_of(scorer.runs[0].path, scorer.runs[0].config),
        reference=scorer.runs[0].reference,
        groups=(
            (members[0][1], (_card(*each, next(jpegs), path.parent, scorer) for each in members))
            for members in groups.values()
        ),
    )


def _card(place: int, item: Ranked, jpeg: bytes | None, folder: Path, scorer: Scorer) -> Card:
    path = item.scored.path
    relative = os.path.relpath(Path(path).absolute(), folder.absolute())
    opinion, *others = item.scored.opinions
    return Card(
        place=place,
        item=item,
        link=quote(relative, errors="surrogateescape"),
        jpeg=None if jpeg is None else base64.b64encode(jpeg).decode("ascii"),
        opinion=opinion,
        others=list(zip(scorer.names[1:], others, strict=True)),
        twin=Path(item.duplicate_of).name,
    )


def copy_ranked(folder: Path, ranked: Sequence[Ranked]) -> str:
    """Copy photographs into a folder as RANK_NAME, so that names sort by rank; return a line on it.

    Each is there whole or not at all, and one that is there already is not copied again.

    Raises:
        StorageError: another file of that name is there, one cannot be read or written.
    """
    digits = len(str(len(ranked)))
    sources = [Path(item.scored.path) for item in ranked]
    copies = {
        folder / _fitting(f"{place:0{digits}}_{source.stem}", source.suffix): source
        for place, source in enumerate(sources, start=1)
    }
    there = [target for target in copies if os.path.lexists(target)]
    for target in there:
        with _reading(copies[target]):
            same = target.is_file() and filecmp.cmp(copies[target], target, shallow=False)
        if not same:
            raise StorageError(
                f"{target} is already there and is another file; nothing was copied. Choose "
                "another folder for --copy-to."
            )
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for target in [each for each in copies if each not in set(there)]:
        _copy(copies[target], target)
    return f"{folder}: {len(copies)} photographs copied, the best first by name."


def _fitting(stem: str, ending: str) -> str:
    """Return the name of a file, its stem cut to what a file system takes."""
    return os.fsdecode(os.fsencode(stem)[: LONGEST_NAME - len(os.fsencode(ending))]) + ending


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Say of a photograph's own refusals that they are not those of the copy."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{source} cannot be read any more: {os.strerror(error.errno or 0)}. The copies so far "
            "are kept; the same command goes on with them."
        ) from None


def _pieces(source: Path) -> Iterator[bytes]:
    with _reading(source), source.open("rb") as photograph:
        while piece := photograph.read(COPIED_BYTES):
            yield piece


def _copy(source: Path, target: Path) -> None:
    with storage_errors(target), replacing(target) as temporary:
        with temporary.open("wb") as file:
            file.writelines(_pieces(source))
        try:
            shutil.copystat(source, temporary)
        except OSError as error:
            if error.errno not in (errno.EPERM, *NOT_OFFERED):
                raise
            go_without(PERMISSIONS, target, error)
