"""What a notebook and the command line call: heads trained and compared, and what came of it.

    from heads import compare, load_splits, train

    data = load_splits("features")
    run = train("emd", data, hidden=(256,))  # runs/emd
    board = compare(data, heads=["logistic", "emd"])  # shows itself in Jupyter

Nothing is printed; remarks go to the logger `aesthetic_heads` at the level INFO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heads.data.splits import SplitData
from heads.experiments import compare as comparisons
from heads.experiments import train as training
from heads.experiments.compare import Comparison, SettingsOf
from heads.experiments.train import TrainedRun
from heads.models.registry import Settings, changed_settings, find_head
from heads.report import leaderboard
from heads.report.board import board_html
from heads.report.run import describe
from heads.report.write import write_report
from heads.runs.files import read_history
from heads.runs.predictions import read_predictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Run(TrainedRun):
    """A trained head: its folder `path`, and its `metrics` of test beside the floor's."""

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch, with loss and error on train and val; empty for a head without."""
        import pandas as pd

        rows = read_history(self.path)
        return pd.DataFrame([{**row, "epoch": int(row["epoch"])} for row in rows])

    def predictions(self) -> pd.DataFrame:
        """Return the rows of predictions.csv: what the head said of val and test.

        Columns: image_id, group, split, true_mean, true_label, score, p_beautiful; with vote counts
        r1..rK, and p1..pK where the head predicts distributions.

        Raises:
            RunError: the file is missing or damaged.
        """
        return read_predictions(self.path).frame()

    def report(self) -> Path:
        """Write report.html about this run and those beside it, and return its path.

        Raises:
            RunError, IncompleteCacheError, FormatError, StorageError: as `heads report`.
        """
        return write_report(self.path.parent)

    def __repr__(self) -> str:
        return describe(self.path, self.metrics)


@dataclass(frozen=True, eq=False, repr=False)
class Board(Comparison):
    """Several heads on the same photographs, beside the floor; Jupyter shows it as a table."""

    def frame(self) -> pd.DataFrame:
        """Return a row a head, the floor first, then by falling SRCC; columns of leaderboard.csv.

        Each metric NAME has its 95 % interval in NAME_lo and NAME_hi; NaN where it does not apply.
        A head that failed has its `error` alone.
        """
        import pandas as pd

        return pd.DataFrame(leaderboard.rows(self.entries, self.failed))

    def report(self) -> Path:
        """Write report.html about the runs in `folder`, and return its path.

        Raises:
            RunError, IncompleteCacheError, FormatError, StorageError: as `heads report`.
        """
        return write_report(self.folder)

    def __repr__(self) -> str:
        return leaderboard.render(self)

    def _repr_html_(self) -> str:
        return board_html(self)


def train(
    head: Any,
    data: Mapping[str, SplitData],
    out: str | Path = "runs",
    *,
    settings: Settings | None = None,
    seed: int = 0,
    overwrite: bool = False,
    **changes: Any,
) -> Run:
    """Train a head on train, choose on val, measure on test, and write the run below `out`.

    Args:
        head: its name, such as emd (`heads.HEADS` has all), or one of your own, as
            `heads.own_head` takes it.
        data: train, val and test, as `load_splits` gives them.
        out: gets the folder of the run; an equal run that is there already is reused.
        settings: the head's; tuned ones if None.
        seed: same seed, same numbers.
        overwrite: train anew and replace an earlier run.
        changes: single settings, such as hidden=(512, 128), lr=3e-4 or labels="hard".

    Raises:
        HeadError: the data or settings do not suit the head, or there is no such head.
        RunError, CacheLockedError, StorageError: the run folder cannot be written.
        FormatError: somebody wrote into a cache meanwhile; no run is written then.
    """
    entry = find_head(head)
    chosen = changed_settings(entry, settings, changes)
    done = training.train(entry, data, out, settings=chosen, seed=seed, overwrite=overwrite)
    return Run(**_fields(done))


def compare(
    data: Mapping[str, SplitData],
    heads: Sequence[Any] | None = None,
    out: str | Path = "runs",
    *,
    settings: SettingsOf | None = None,
    seeds: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    stopped: comparisons.Stopped | None = None,
) -> Board:
    """Train what is not there yet, and measure every head on test beside the constant one.

    Args:
        data: train, val and test, as `load_splits` gives them.
        heads: names, or heads of your own as `heads.own_head` takes them; all registered ones that
            the labels suffice for if None. The floor is always among them. One of your own that
            raises is in `failed`, and the others go on.
        out: gets a folder for each run.
        settings: by the head's name; the tuned ones for the others.
        seeds: train each neural head with so many seeds from `seed` on; the rows are means.
        overwrite: train anew and replace earlier runs.
        stopped: is given what was finished, where an error ends the comparison.

    Raises:
        HeadError: a head that was asked for does not suit the data, or there is no such head.
        RunError, CacheLockedError, StorageError: a run folder cannot be written.
    """
    done = comparisons.compare(
        data,
        heads,
        out,
        settings=settings,
        seeds=seeds,
        seed=seed,
        overwrite=overwrite,
        stopped=stopped,
    )
    return Board(**_fields(done))


def _fields(record: TrainedRun | Comparison) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
