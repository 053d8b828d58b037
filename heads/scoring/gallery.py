"""A ranking to look at: one self-contained HTML file of thumbnails, and copies in ranked order.

Readable on a phone and in the dark, without JavaScript. Thumbnails are made as the page is written,
so that memory does not grow with it.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from itertools import islice
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from cache.errors import StorageError
from cache.files import replacing, storage_errors
from heads.photos import thumbnail
from heads.scoring.ranking import Ranked
from heads.scoring.scorer import Scorer
from heads.scoring.table import LABELS

PIXELS = 360
AT_ONCE = 64
LARGE_BYTES = 100_000_000

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f4f5f7; --ink: #15181d; --quiet: #545c69;
  --line: #d7dbe2; --good: #00705a; --mark: #a85500; }
@media (prefers-color-scheme: dark) { :root { --paper: #0f1216; --card: #181c22; --ink: #e9ebee;
  --quiet: #a4adba; --line: #333a45; --good: #35c4a0; --mark: #e69f00; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 110rem; padding: 1.2rem clamp(.7rem, 3vw, 2.5rem) 3rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: clamp(1.3rem, 4vw, 1.9rem); line-height: 1.2; margin: .3rem 0; }
p { margin: .3rem 0; max-width: 50rem; color: var(--quiet); }
ol { list-style: none; margin: 1.2rem 0 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr)); }
@media (max-width: 26rem) { ol { grid-template-columns: 1fr 1fr; gap: .5rem; } }
li { background: var(--card); border-radius: .5rem; overflow: hidden; min-width: 0;
  display: flex; flex-direction: column; }
li a { display: block; color: inherit; text-decoration: none; }
li a:focus-visible { outline: 3px solid var(--good); outline-offset: -3px; }
img, .gone { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain;
  background: var(--line); }
.gone { display: grid; place-items: center; color: var(--quiet); font-size: .8rem; }
.text { padding: .45rem .6rem .6rem; font-size: .82rem; color: var(--quiet); }
.top { display: flex; justify-content: space-between; align-items: baseline; color: var(--ink);
  font-variant-numeric: tabular-nums; }
.score { font-size: 1.15rem; font-weight: 650; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--ink); }
.bar { height: .3rem; margin: .3rem 0 .4rem; border-radius: .15rem; background: var(--line); }
.bar span { display: block; height: 100%; border-radius: inherit; background: var(--good); }
.mark { color: var(--mark); overflow-wrap: anywhere; }
.best { color: var(--good); font-weight: 600; }
.twin img { opacity: .55; }
"""


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
            _write_page(file, path, ranked, scorer)
        size = path.stat().st_size
    hint = " Browsers are slow with that much; --top N makes it smaller." * (size > LARGE_BYTES)
    return f"{path}: {len(ranked)} photographs, {size / 1e6:.1f} MB.{hint}"


def _write_page(file: TextIO, path: Path, ranked: Sequence[Ranked], scorer: Scorer) -> None:
    title = f"{len(ranked):,} photograph{'s' * (len(ranked) != 1)}, the best first"
    file.write(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n{_about(scorer)}\n<ol>\n"
    )
    numbered = enumerate(ranked, start=1)
    for (place, item), jpeg in zip(numbered, _thumbnails(ranked), strict=True):
        file.write(_card(place, item, jpeg, path.parent, scorer) + "\n")
    file.write("</ol>\n</body>\n</html>\n")


def _about(scorer: Scorer) -> str:
    run, scale = scorer.runs[0], scorer.runs[0].yardstick.scale
    n_train = run.config.splits["train"].n
    lines = [
        f"Scored by {scorer.names[0]}, the head {run.config.head}, trained on {n_train:,} "
        f"photographs; scores from {scale.lo:g} to {scale.hi:g}. The bar is the percentile among "
        "the scores of its training photographs.",
        f"A photograph that nearly equals a better one is shown pale. {run.config.label_note}",
    ]
    return "\n".join(f"<p>{escape(line.strip())}</p>" for line in lines)


def _thumbnails(ranked: Sequence[Ranked]) -> Iterator[bytes | None]:
    """Make thumbnails on all cores, some ahead of the page that is being written."""
    remaining: Iterable[Ranked] = iter(ranked)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        while some := list(islice(remaining, AT_ONCE)):
            yield from threads.map(lambda item: thumbnail(Path(item.scored.path), PIXELS), some)


def _card(place: int, item: Ranked, jpeg: bytes | None, folder: Path, scorer: Scorer) -> str:
    opinion, name = item.scored.opinions[0], Path(item.scored.path).name
    lines = [f"{LABELS[opinion.beautiful]}, P {opinion.p_beautiful:.2f}"]
    others = zip(scorer.names[1:], item.scored.opinions[1:], strict=True)
    lines += [f"{escape(other)} {answer.score:.2f}" for other, answer in others]
    if item.group and item.best and item.group_size > 1:
        lines.append(f'<span class="best">best of {item.group_size} in its folder</span>')
    if item.duplicate_of:
        twin = escape(Path(item.duplicate_of).name)
        lines.append(f'<span class="mark">nearly {twin}</span>')
    return (
        f"<li{' class=twin' if item.duplicate_of else ''}>"
        f'<a href="{_link(item.scored.path, folder)}">{_picture(jpeg, name)}</a>'
        f'<div class="text"><div class="top"><span class="score">{opinion.score:.2f}</span>'
        f"<span>#{place}</span></div>"
        f'<div class="bar" title="percentile {opinion.percentile:.0f}">'
        f'<span style="width:{opinion.percentile:.0f}%"></span></div>'
        f'<div class="name" title="{escape(item.scored.path)}">{escape(name)}</div>'
        + "<br>".join(lines)
        + "</div></li>"
    )


def _picture(jpeg: bytes | None, name: str) -> str:
    if jpeg is None:
        return '<div class="gone">not found</div>'
    data = base64.b64encode(jpeg).decode("ascii")
    return f'<img loading="lazy" alt="{escape(name)}" src="data:image/jpeg;base64,{data}">'


def _link(path: str, folder: Path) -> str:
    relative = os.path.relpath(Path(path).absolute(), folder.absolute())
    return escape(quote(relative, errors="surrogateescape"))


def copy_ranked(folder: Path, ranked: Sequence[Ranked]) -> str:
    """Copy photographs into a folder as RANK_NAME, so that names sort by rank; return a line on it.

    Raises:
        StorageError: a file of that name is already there, or the folder cannot be written.
    """
    digits = len(str(len(ranked)))
    targets = [
        folder / f"{place:0{digits}}_{Path(item.scored.path).name}"
        for place, item in enumerate(ranked, start=1)
    ]
    taken = [target for target in targets if target.exists()]
    if taken:
        raise StorageError(
            f"{taken[0]} is already there; nothing was copied. Choose another folder for --copy-to."
        )
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for item, target in zip(ranked, targets, strict=True):
            shutil.copy2(item.scored.path, target)
    return f"{folder}: {len(targets)} photographs copied, the best first by name."
