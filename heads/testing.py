"""What every head must do, for tests of heads of one's own: ours pass the same.

from heads.testing import check_head

check_head(MedianHead)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import AestheticError
from cache.labels import mean_of_votes
from cache.types import Scale
from heads.data.features import FeatureRows, StoredRows
from heads.data.labels import Labels
from heads.data.predictions import Prediction
from heads.errors import HeadError
from heads.metrics.weighted import spearman
from heads.models.base import Head
from heads.models.own.estimator import EstimatorHead
from heads.models.registry import find_head
from heads.runs.files import rebuilt, write_model

SIZES = {"train": 400, "val": 100, "test": 120}
LEVELS, FEATURES, VOTES = 7, 24, 100
# Linear heads reach 0.9; chance alone stays below 0.25 on so many photographs.
LEAST_SRCC, LEAST_SPREAD = 0.3, 0.1


@dataclass(frozen=True, eq=False)
class Planted:
    """Features (n, 1, 24) of a split and labels that depend on them, votes 1..7 or means alone."""

    X: FeatureRows
    labels: Labels


def planted(split: str, *, votes: bool = True) -> Planted:
    """Return made-up photographs of a split, the same in every call."""
    direction = np.random.default_rng(99).standard_normal(FEATURES)
    n, rng = SIZES[split], np.random.default_rng(list(SIZES).index(split))
    hidden = rng.standard_normal((n, FEATURES))
    quality = hidden @ direction / np.linalg.norm(direction) + 0.3 * rng.standard_normal(n)
    middle = 1 + (LEVELS - 1) / (1 + np.exp(-quality))
    chance = np.exp(-0.5 * ((np.arange(1, LEVELS + 1) - middle[:, None]) / 1.2) ** 2)
    counts = rng.multinomial(VOTES, chance / chance.sum(axis=1, keepdims=True)).astype(np.int32)
    labels = Labels(
        image_id=np.array([f"{split}{i}" for i in range(n)]),
        path=np.array([f"{split}{i}.jpg" for i in range(n)]),
        group=np.full(n, ""),
        votes=counts if votes else None,
        mean=mean_of_votes(counts),
        scale=Scale(1, LEVELS),
        threshold="4",
    )
    X = np.clip(2 + 0.7 * hidden, 0, 6)[:, None].astype(np.float16)
    return Planted(StoredRows(X), labels)


def check_head(head: Any) -> None:
    """Train a head on made-up photographs and check what every head must do.

    Shapes, ranges and types of its answers; the same ones with the same seed, for each photograph
    alone, and after it was saved and loaded; that it learns what is planted; and that what cannot
    be answered is refused with a HeadError.

    Args:
        head: a name, or a head of your own as `heads.own_head` takes it.

    Raises:
        AssertionError: it does not; the message says what was expected.
    """
    fitted = _fit(head, planted("train"), planted("val"))
    for check in CHECKS:
        check(head, fitted)


def _fit(head: Any, train: Planted, val: Planted) -> Head:
    entry = find_head(head)
    made: Head = entry.make(entry.default_settings)
    made.fit(train.X, train.labels, val.X, val.labels, seed=0)
    return made


def check_shapes_and_ranges(head: Any, fitted: Head) -> None:
    """Scores (n,) on the scale, probabilities in [0, 1], distributions (n, K) that sum to 1."""
    n, prediction = SIZES["test"], fitted.predict(planted("test").X)
    for name, lo, hi in (("score", 1, LEVELS), ("p_beautiful", 0, 1)):
        values = getattr(prediction, name)
        right = values.shape == (n,) and values.dtype == np.float64
        _expect(right, f"{name} is ({n},) float64, not {values.shape} {values.dtype}")
        _expect(lo <= values.min() <= values.max() <= hi, f"{name} lies within {lo}..{hi}")
    if (shares := prediction.distribution) is not None:
        _expect(shares.shape == (n, LEVELS), f"distribution is ({n}, {LEVELS})")
        sums = np.allclose(shares.sum(axis=1), 1) and shares.min() >= 0
        _expect(sums, "each distribution is 0 or more and sums to 1")


def check_repeated(head: Any, fitted: Head) -> None:
    """The same seed gives the same answers, and an earlier training does not matter."""
    again = _fit(head, planted("train"), planted("val"))
    _expect_same(fitted, again, "the same seed gives the same answers")


def check_alone(head: Any, fitted: Head) -> None:
    """What is said of a photograph does not depend on the others; of none, nothing is said."""
    X = planted("test").X
    whole, part = fitted.predict(X), fitted.predict(StoredRows(X[:7]))
    near = np.allclose(whole.score[:7], part.score, atol=1e-4)
    _expect(near, "what is said of a photograph does not depend on the others")
    _expect(len(fitted.predict(StoredRows(X[:0]))) == 0, "no photographs get no answers")


def check_saved(head: Any, fitted: Head) -> None:
    """It says the same after it was saved and loaded, as far as it can be kept."""
    if isinstance(fitted, EstimatorHead) and fitted.packed()[1]:
        return
    entry = find_head(head)
    settings = entry.resolve(entry.default_settings, SIZES["train"], [FEATURES])
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), fitted)
        values = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
        loaded = rebuilt(Path(folder), entry.name, settings, values, getattr(entry, "source", None))
    _expect_same(fitted, loaded, "it says the same after it was saved and loaded")


def check_learns(head: Any, fitted: Head) -> None:
    """It finds what is planted, and does not give all photographs nearly the same score."""
    if not fitted.about.looks_at_photographs:
        return
    test = planted("test")
    score = fitted.predict(test.X).score
    srcc, spread = spearman(score, test.labels.mean), score.std() / test.labels.mean.std()
    _expect(srcc > LEAST_SRCC, f"its SRCC on planted data is above {LEAST_SRCC}, not {srcc:.3f}")
    right = spread > LEAST_SPREAD
    _expect(right, f"its scores have above {LEAST_SPREAD} of the deviation, not {spread:.3f}")


def check_refusals(head: Any, fitted: Head) -> None:
    """Other features, and mean-only labels where votes are needed, are refused by a HeadError."""
    if fitted.about.looks_at_photographs:
        fewer = StoredRows(planted("test").X[:][:, :, 1:])
        _expect_refused(lambda: fitted.predict(fewer), "another number of features")
    means = planted("train", votes=False), planted("val", votes=False)
    if fitted.about.needs_votes:
        _expect_refused(lambda: _fit(head, *means), "labels without votes")
    else:
        _fit(head, *means)


CHECKS: tuple[Callable[[Any, Head], None], ...] = (
    check_shapes_and_ranges,
    check_repeated,
    check_alone,
    check_saved,
    check_learns,
    check_refusals,
)


def _expect_same(one: Head, other: Head, words: str) -> None:
    X = planted("test").X
    first, second = one.predict(X), other.predict(X)
    columns = ("score", "p_beautiful", "distribution")
    equal = [np.array_equal(getattr(first, each), getattr(second, each)) for each in columns]
    _expect(all(equal), words)
    same = (first.ranking_only, first.label_by_p) == (second.ranking_only, second.label_by_p)
    _expect(same, words)


def _expect_refused(do: Callable[[], Head | Prediction], words: str) -> None:
    try:
        do()
    except HeadError:
        return
    except AestheticError as error:
        raise AssertionError(f"Expected: {words} is refused with a HeadError.") from error
    raise AssertionError(f"Expected: {words} is refused with a HeadError.")


def _expect(right: bool, words: str) -> None:
    if not right:
        raise AssertionError(f"Expected: {words}.")
