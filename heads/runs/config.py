"""What a run and a cross-validation note of how they were made: enough to repeat them.

Owns their identity: which of it decides the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from cache.types import ExtractorSpec, canonical_json, sha256_text
from heads.data.splits import SplitData
from heads.models.neural.settings import layer_widths
from heads.models.registry import Settings, find_head, settings_from_dict

LIBRARIES = ("aesthetic-heads", "numpy", "scipy", "scikit-learn", "keras", "tensorflow")


def metadata_sha256(head: str, data: Mapping[str, SplitData]) -> str | None:
    """Return the checksum of the metadata that a head is given; None where it is given features."""
    if not find_head(head).about.looks_at_metadata:
        return None
    return sha256(b"".join(part.metadata.tobytes() for part in data.values())).hexdigest()


def library_versions() -> dict[str, str]:
    """Return the installed versions of what a run's numbers depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclass(frozen=True)
class SplitFacts:
    """What a split was: its manifest, the rows and features used, and how many photographs."""

    manifest_sha256: str
    content_sha256: str
    n: int

    @classmethod
    def of(cls, data: SplitData) -> SplitFacts:
        """Note the facts of loaded data."""
        return cls(data.cache.manifest_sha256, data.content_sha256, len(data))


@dataclass(frozen=True, kw_only=True)
class Config:
    """What both have in common.

    `streamed_bytes` is the memory budget of a network that saw train in blocks from the disk, since
    the blocks are part of the order in which it sees photographs; None if all of train fitted. The
    precision that the machine chose is no part of it: it is in `model.json`. `metadata` is the
    SHA-256 of what a head that looks at metadata was given of all splits, None for others.

    Of the fields, `deciding` are those that decide the numbers on one machine (settings as they are
    resolved, the extractor by its fingerprint), and `noted` are the others.
    """

    format: ClassVar[str]
    version: ClassVar[int] = 1
    deciding: ClassVar[tuple[str, ...]]
    noted: ClassVar[tuple[str, ...]] = ("features_dir", "label_note", "library_versions")
    absent_if_none: ClassVar[tuple[str, ...]] = ("metadata",)

    head: str
    settings: Settings
    seed: int
    limit: int | None
    extractor: ExtractorSpec
    splits: dict[str, SplitFacts]
    features_dir: str
    label_note: str
    library_versions: dict[str, str]
    streamed_bytes: int | None = None
    metadata: str | None = None

    @property
    def trained_on(self) -> tuple[int, tuple[int, ...]]:
        """How many photographs a head is trained on, and the widths of their features' layers."""
        return self.splits["train"].n, layer_widths(self.extractor.layers)

    @property
    def resolved(self) -> Settings:
        """The settings with nothing left to the data."""
        return find_head(self.head).resolve(self.settings, *self.trained_on)

    @property
    def identity(self) -> str:
        """64 hexadecimal digits; equal ones mean equal numbers, on the same machine."""
        values = self._values() | {"settings": self.resolved.to_dict()}
        absent = [name for name in self.absent_if_none if values[name] is None]
        names = [name for name in self.deciding if name not in absent]
        names = ["extractor_sha256" if name == "extractor" else name for name in names]
        return sha256_text(canonical_json({name: values[name] for name in names}))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "format": self.format,
            "version": self.version,
            **self._values(),
            "resolved": self.resolved.to_dict(),
            "identity": self.identity,
        }

    def _values(self) -> dict[str, Any]:
        return asdict(self) | {
            "settings": self.settings.to_dict(),
            "extractor": self.extractor.to_dict(),
            "extractor_sha256": self.extractor.sha256,
        }


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """Everything needed to repeat a run."""

    format: ClassVar[str] = "aesthetic-run"
    # The splits say what a limit left of train.
    deciding: ClassVar[tuple[str, ...]] = (
        "head",
        "settings",
        "seed",
        "extractor",
        "splits",
        "streamed_bytes",
        "metadata",
    )
    noted: ClassVar[tuple[str, ...]] = (*Config.noted, "limit")
    # Runs of earlier versions did not have it.
    absent_if_none: ClassVar[tuple[str, ...]] = ("streamed_bytes", "metadata")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Rebuild from `to_dict`. Raises KeyError where a field is missing."""
        plain = ("head", "seed", "limit", "features_dir", "label_note", "library_versions")
        return cls(
            **{name: values[name] for name in plain},
            settings=settings_from_dict(values["settings"]),
            extractor=ExtractorSpec.from_dict(values["extractor"]),
            splits={name: SplitFacts(**facts) for name, facts in values["splits"].items()},
            streamed_bytes=values.get("streamed_bytes"),
            metadata=values.get("metadata"),
        )


@dataclass(frozen=True, kw_only=True)
class FoldsConfig(Config):
    """Everything needed to repeat a head's cross-validation.

    `ways` and `seeds` are numbers of them, the first with `seed`; `limit` is of one fold's train,
    `n_train` its size in the first. `views` and `columns` [start, stop) say what was used of the
    features.
    """

    format: ClassVar[str] = "aesthetic-folds"
    deciding: ClassVar[tuple[str, ...]] = (
        *("head", "settings", "seed", "limit", "extractor", "splits", "streamed_bytes"),
        *("metadata", "folds", "ways", "seeds", "n_train", "views", "columns"),
    )

    folds: int
    ways: int
    seeds: int
    n_train: int
    views: int
    columns: tuple[int, int]

    @property
    def trained_on(self) -> tuple[int, tuple[int, ...]]:
        """As of one layer: which layers there are is said by columns and extractor."""
        start, stop = self.columns
        return self.n_train, (stop - start,)

    def predictions_file(self, number: int) -> str:
        """Return the name of the predictions of the seed with a number from 0."""
        return f"predictions-seed-{self.seed + number}.csv" if number else "predictions.csv"
