"""Every head by name: what it is, how it is made, and how it comes back from a run.

Importing this loads neither keras nor scikit-learn; making a head loads what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.console import quiet_stderr
from cache.errors import HeadError
from heads.models.neural.settings import NEURAL_HEADS, NetworkSettings, tuned

if TYPE_CHECKING:
    from heads.models.base import Head

FLOOR = "constant"
# They look at no photograph.
BLIND = (FLOOR, "mean-ratings")
Settings = NetworkSettings | None


@dataclass(frozen=True)
class HeadEntry:
    """What is known of a head before it is made."""

    name: str
    summary: str
    needs_votes: bool

    @property
    def neural(self) -> bool:
        """Trained by Keras and saved as model.keras; else in closed form, saved as model.npz."""
        return self.name in NEURAL_HEADS

    @property
    def default_settings(self) -> Settings:
        """Tuned settings; None for a head that has none."""
        return tuned(self.name) if self.neural else None


_ENTRIES = (
    HeadEntry("constant", "one answer for all, the floor of every metric", needs_votes=False),
    HeadEntry("mean-ratings", "the blog's baseline: all votes pooled", needs_votes=True),
    HeadEntry("logistic", "beautiful or not, logistic regression", needs_votes=False),
    HeadEntry("ridge", "the mean score, ridge regression", needs_votes=False),
    HeadEntry("ridge-dist", "the vote distribution, ridge regression", needs_votes=True),
    HeadEntry("emd", "the vote distribution, softmax and earth mover's distance", needs_votes=True),
    HeadEntry("sigmoid", "the mean score in [0, 1], sigmoid and squared error", needs_votes=False),
    HeadEntry("tanh", "the mean score in [-1, 1], tanh and squared error", needs_votes=False),
    HeadEntry("binary", "beautiful or not, sigmoid and cross-entropy", needs_votes=False),
    HeadEntry("columns", "each rating's count by itself, sigmoid", needs_votes=True),
)
HEADS = {entry.name: entry for entry in _ENTRIES}


def find_head(name: str) -> HeadEntry:
    """Return the entry of a head.

    Raises:
        HeadError: there is no such head.
    """
    if name not in HEADS:
        raise HeadError(f"There is no head {name!r}; there are {', '.join(HEADS)}.")
    return HEADS[name]


def make_head(name: str, settings: Settings = None, memory_bytes: int | None = None) -> Head:
    """Make an untrained head; tuned settings where none are given.

    Raises:
        HeadError: there is no such head, or it takes no settings.
    """
    entry = find_head(name)
    if entry.neural:
        load_keras()
        from heads.models.neural.head import NeuralHead

        return NeuralHead(name, settings or tuned(name), memory_bytes)
    _refuse_settings(entry, settings)
    from heads.models.baselines import BASELINES

    head: Head = BASELINES[name](None)
    return head


def restore_head(
    name: str, settings: Settings, arrays: Mapping[str, Any], values: Mapping[str, Any]
) -> Head:
    """Rebuild a trained head from its state.

    Raises:
        HeadError: there is no such head.
    """
    entry = find_head(name)
    if entry.neural:
        load_keras()
        from heads.models.neural.head import NeuralHead

        return NeuralHead.from_state(settings or tuned(name), arrays, values)
    from heads.models.baselines import BASELINES

    head: Head = BASELINES[name].from_state(None, arrays, values)
    return head


def load_neural_head(settings: NetworkSettings, model: Path, values: Mapping[str, Any]) -> Head:
    """Rebuild a neural head from its model.keras.

    Raises:
        RunError: the file is missing or no Keras model.
    """
    load_keras()
    from heads.models.neural.head import NeuralHead

    return NeuralHead.load_model(settings, model, values)


def _refuse_settings(entry: HeadEntry, settings: Settings) -> None:
    if settings is not None:
        raise HeadError(
            f"The head {entry.name} has no settings: it is solved directly, and chooses its "
            "penalty on val. Leave out --hidden, --lr and the like, or train "
            f"{', '.join(NEURAL_HEADS)}."
        )


def load_keras() -> None:
    """Import Keras and its backend, in a command without the backend's greetings on stderr."""
    with quiet_stderr():
        import keras  # noqa: F401
