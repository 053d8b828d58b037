"""A scorer of the studio's runs, a changed run, and photographs of which some cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cache.types import ExtractorSpec
from heads.scoring.scorer import Scorer, open_scorer
from tests.heads.studio import Studio, save_pictures
from tests.heads.unsealed import unsealed

FIRST = ["path", "score", "std", "p_beautiful", "percentile", "label", "lo", "hi"]


def opened(studio: Studio, *heads: str, keep: Path | None = None) -> Scorer:
    return open_scorer(*map(studio.run, heads), weights=studio.weights, jobs=2, keep=keep)


def mixed(folder: Path) -> list[Path]:
    """Two good photographs around rubbish, an empty file, a truncated one, and none at all."""
    good = save_pictures(folder, [1, 2])
    rubbish, empty, cut = folder / "rubbish.jpg", folder / "empty.png", folder / "cut.jpg"
    rubbish.write_text("rubbish")
    empty.touch()
    cut.write_bytes(good[0].read_bytes()[:300])
    return [good[0], rubbish, empty, cut, folder / "gone.jpg", good[1]]


def changed(studio: Studio, folder: Path, field: str, value: object) -> Path:
    """Copy a run and change a field of its extractor."""
    run = folder / "changed"
    unsealed(shutil.copytree(studio.run("ridge"), run))
    config = json.loads((run / "config.json").read_text())
    config["extractor"][field] = value
    config["extractor_sha256"] = ExtractorSpec.from_dict(config["extractor"]).sha256
    (run / "config.json").write_text(json.dumps(config))
    return run
