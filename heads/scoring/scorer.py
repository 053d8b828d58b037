"""Scoring photographs with trained heads, on the command line and from Python.

    from heads.scoring.scorer import open_scorer

    scorer = open_scorer("runs/emd")
    table = scorer.frame(["one.jpg", "two.png", image])

Sources are paths or PIL images, or a single one of them; `table` is a pandas DataFrame, one row
each. Images stay as they are: one that was opened and not yet loaded is read as its file is, any
other by its pixels. Photographs are read exactly as those of the run's own cache were, and stream:
memory does not grow with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from cache.errors import EngineError, MismatchError
from cache.text import shown
from heads.data.features import Float32Array, mean_of_views
from heads.errors import RunError
from heads.photos import Extracted, PhotographSource, Sources, open_extractor, photographs
from heads.runs.loaded import ROWS, LoadedRun, Opinion, load_run
from heads.scoring.kept_features import KeptFeatures
from heads.scoring.records import Scored

if TYPE_CHECKING:
    import pandas as pd

FeatureStream = Callable[[Iterable[PhotographSource]], Iterator[Extracted]]


def open_scorer(
    *runs: str | Path,
    weights: str = "auto",
    engine: str = "auto",
    device: str = "auto",
    jobs: int = 0,
    keep: str | Path | None = None,
) -> Scorer:
    """Open one run or several for scoring.

    Args:
        runs: folders of trained heads, such as runs/emd.
        weights, engine, device: as the options of `extract`.
        jobs: threads, 0 for all cores.
        keep: a file in which features are kept: photographs that have not changed since are not
            read again.

    Raises:
        RunError: a folder is no run, or a damaged one.
        MismatchError: the runs' features differ, or this version cannot make them.
        WeightsError, EngineError: the backbone's weights or the engine are not here.
        StaleCacheError, FormatError: `keep` is of another extractor, or no such file.
    """
    loaded = tuple(load_run(Path(run)) for run in runs)
    for run in loaded:
        _check_looks_at_features(run)
    if not loaded:
        raise RunError("There is no run to score with. Name one, such as runs/ridge.")
    for other in loaded[1:]:
        _check_same_features(loaded[0], other)
    spec = loaded[0].config.extractor
    extractor = open_extractor(spec, weights=weights, engine=engine, device=device, jobs=jobs)
    if keep is None:
        return Scorer(loaded, extractor)
    return Scorer(loaded, KeptFeatures(Path(keep), spec, extractor))


def _check_looks_at_features(run: LoadedRun) -> None:
    if run.head.about.looks_at_metadata:
        raise RunError(
            f"{run.path} cannot score photographs: the head {run.config.head} knows them by what "
            "a cache says of their files and labels. `heads predict` gives its answers for those; "
            "score with another run, such as ridge."
        )


def _check_same_features(first: LoadedRun, other: LoadedRun) -> None:
    for name, mine, theirs in first.config.extractor.differences(other.config.extractor):
        raise MismatchError(
            f"{first.path} and {other.path} cannot score together: their {name} differs, "
            f"{shown(mine)} and {shown(theirs)}. Score with one after the other."
        )


class Scorer:
    """Scores photographs with one run or several; made by `open_scorer`."""

    def __init__(self, runs: tuple[LoadedRun, ...], features_of: FeatureStream) -> None:
        self.runs = runs
        self._features_of = features_of

    def __getstate__(self) -> NoReturn:
        """Refuse to be sent to another process: the engine lives in this one."""
        raise EngineError(
            "A scorer stays in the process that opened it. Give the paths of runs and photographs "
            "to the other process, and call open_scorer there."
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names: their folders', with as much before them as tells them apart."""
        short = [run.path.resolve().name for run in self.runs]
        if len(set(short)) == len(short):
            return tuple(short)
        return tuple(str(run.path) for run in self.runs)

    def stream(self, sources: Sources) -> Iterator[Scored]:
        """Yield each photograph's scores in order, in constant memory.

        Args:
            sources: paths, or PIL images, or a single one. One that cannot be read gives a
                `Scored` with a reason.

        Raises:
            TypeError: a source is something else.
            EngineError: this process was forked after the scorer was opened.
        """
        names: deque[str] = deque()

        def noted() -> Iterator[PhotographSource]:
            for number, source in enumerate(photographs(sources)):
                names.append(_name(source, number))
                yield source

        extracted = self._features_of(noted())
        while block := list(islice(extracted, ROWS)):
            yield from self._scored([names.popleft() for _ in block], block)

    def _scored(self, names: list[str], block: list[Extracted]) -> Iterator[Scored]:
        good = [item.features for item in block if item.features is not None]
        opinions: Iterator[tuple[Opinion, ...]] = iter(())
        means: Iterator[Float32Array] = iter(())
        if good:
            features = np.stack(good)
            opinions = zip(*(run.opinions(features) for run in self.runs), strict=True)
            top = self.runs[0].config.extractor.layer_slice("top")
            means = iter(mean_of_views(features[:, :, top]))
        for name, item in zip(names, block, strict=True):
            if item.features is None:
                yield Scored(name, (), item.reason, None)
            else:
                yield Scored(name, next(opinions), "", next(means))

    def frame(self, sources: Sources) -> pd.DataFrame:
        """Score photographs and return one row each: path, score, std, p_beautiful, ...

        The columns are those of `heads score --format csv`; a photograph that cannot be read has
        NaN for its numbers and a reason under `error`. What stands in a row, the percentile too,
        does not depend on the other photographs.

        Raises:
            TypeError: a source is neither a path nor a PIL image.
        """
        import pandas as pd

        from heads.scoring.table import Table

        table = Table(self.names)
        rows = [table.row(scored) for scored in self.stream(sources)]
        paths = [row.pop("path") for row in rows]
        frame = pd.DataFrame(rows, columns=list(table.columns[1:]))
        # Names of files need not be text, which pandas' own type for texts demands.
        frame.insert(0, "path", pd.Series(paths, dtype=object))
        return frame


def _name(source: PhotographSource, number: int) -> str:
    if isinstance(source, Path):
        return str(source)
    return str(getattr(source, "filename", "") or f"image {number}")
