"""What one `extract` command decides: folders, splits, engine, shard, how many failures are borne.

Checked once when made; reads and writes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from cache.errors import LabelError
from cache.labels import Manifest
from cache.resume import Reuse
from cache.schema import FileFacts
from cache.store import partial_path
from cache.types import SPLITS, ExtractorSpec, Status
from extract.backbones.engines import EngineSettings
from extract.backbones.registry import DEFAULT
from extract.errors import TooManyFailuresError
from extract.images.decode import MAX_PIXELS
from extract.images.views import views
from extract.labels.splits import SplitSettings
from extract.stream import Cutting

REASONS_SHOWN = 4


@dataclass(frozen=True)
class FailurePolicy:
    """How many photographs may be unreadable before a run ends with an error."""

    max_rate: float = 0.05
    count_missing: bool = False

    def check(self, counts: Counter[Status], reasons: Counter[str], path: Path) -> None:
        """Compare the share of failures with what is allowed.

        Raises:
            TooManyFailuresError: more; the message counts the reasons.
        """
        failed = counts[Status.UNREADABLE]
        if self.count_missing:
            failed += counts[Status.MISSING]
        total = failed + counts[Status.OK]
        if total == 0 or failed / total <= self.max_rate:
            return
        shown = "; ".join(f"{n:,} x {text}" for text, n in reasons.most_common(REASONS_SHOWN))
        raise TooManyFailuresError(
            f"{failed:,} of {total:,} photographs failed, more than --max-failure-rate "
            f"{self.max_rate:g} allows ({shown}). The work so far is kept in "
            f"{partial_path(path)}; repair the photographs and give the same command with "
            "--retry-failed, or allow a higher rate."
        )


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` equal parts of a split: consecutive rows."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise LabelError(f"--shard {self.number}/{self.count}: expected i/n with 1 <= i <= n.")

    def path(self, out: Path, split: str) -> Path:
        """Return the file that holds this part of a split."""
        if self.count == 1:
            return out / f"{split}.h5"
        return out / f"{split}.shard-{self.number}-of-{self.count}.h5"

    def cut(self, manifest: Manifest, facts: FileFacts) -> tuple[Manifest, FileFacts]:
        """Return this part's rows.

        Raises:
            LabelError: there are fewer rows than parts.
        """
        if self.count == 1:
            return manifest, facts
        if len(manifest) < self.count:
            raise LabelError(f"{len(manifest)} photographs cannot be cut into {self.count} shards.")
        start = len(manifest) * (self.number - 1) // self.count
        rows = slice(start, len(manifest) * self.number // self.count)
        rule = replace(manifest.split_rule, shard=self.number, shards=self.count)
        return manifest.take(rows, rule), facts.take(rows)


@dataclass(frozen=True)
class Settings:
    """Everything that one `extract` command decides; `labels` and `scale` as for `read_labels`."""

    data: Path
    out: Path
    labels: str = ""
    scale: tuple[float, float] | None = None
    splits: tuple[str, ...] = SPLITS
    split: SplitSettings = field(default_factory=SplitSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    reuse: Reuse = field(default_factory=Reuse)
    failures: FailurePolicy = field(default_factory=FailurePolicy)
    backbone: str = DEFAULT
    weights: str = "auto"
    views: str = "center"
    resizer: str = "auto"
    dtype: str = "float16"
    max_pixels: int = MAX_PIXELS
    shard: Shard = field(default_factory=Shard)
    progress: bool = False

    def cutting(self, spec: ExtractorSpec) -> Cutting:
        """How photographs are read for an extractor that was planned with these settings."""
        cores = self.engine.cores
        return Cutting(views(self.views), cores, self.max_pixels, spec.interpolation)

    def reuse_for(self, split: str) -> Reuse:
        """What counts of earlier work: a shard takes what a file of the whole split holds, too."""
        return replace(self.reuse, donors=(Shard().path(self.out, split),))
