"""Where a run's features lie now; a folder that is given is noted beside the run, for good.

`config.json` says where they were when the run was made and stays as it is; `moved.json` is written
beside it where they lie elsewhere. Neither is part of the run's identity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cache.console import note
from cache.errors import AestheticError, IncompleteCacheError
from cache.files import write_text_atomically
from cache.places import find_folder
from cache.store import open_cache
from heads.runs.config import Config

FILE = "moved.json"


def features_of(run: Path, config: Config, given: Path | None = None) -> Path:
    """Return the folder of a run's features, as `cache.places` finds it.

    Args:
        run: the run's folder.
        config: its configuration.
        given: goes before all others if it holds the features that the run was made from.

    Features that were extracted anew since are taken where no folder holds those of the run; where
    there are none at all, the folder that is `given` or noted.
    """
    if given is not None and _holds(given, config):
        return given
    noted = [place for place in (_moved(run), Path(config.features_dir)) if place is not None]
    file = run / FILE
    for fits in (_holds, _exists):
        for place in noted:
            found = find_folder(place, file, partial(fits, config=config))
            if found is not None and (fits is _holds or given is None):
                return found
    return given or noted[0]


@contextmanager
def naming_option() -> Iterator[None]:
    """Add to the error of a cache that is missing how to say where it is."""
    try:
        yield
    except IncompleteCacheError as error:
        error.add_note("If the features lie elsewhere by now, name their folder with --features.")
        raise


def note_features(run: Path, config: Config, folder: Path) -> None:
    """Note beside a run that its features lie in `folder`, unless they are found there anyway.

    A run that cannot be written stays as it is, with a remark.
    """
    place = folder.resolve()
    if features_of(run, config).resolve() == place or not _holds(place, config):
        return
    try:
        write_text_atomically(run / FILE, json.dumps({"features_dir": str(place)}) + "\n")
    except AestheticError as error:
        note(f"{run}: that its features lie in {place} is not noted: {error.one_line()}")


def note_of(run: Path, config: Config) -> str:
    """Return the remark on a run's labels as its features have it now; as it was, without them."""
    folder = features_of(run, config)
    return (
        open_cache(folder / "test.h5").label_note if _holds(folder, config) else config.label_note
    )


def _moved(run: Path) -> Path | None:
    try:
        values = json.loads((run / FILE).read_text(encoding="utf-8"))
        return Path(values["features_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _exists(folder: Path, config: Config) -> bool:
    try:
        return all((folder / f"{split}.h5").is_file() for split in config.splits)
    except (OSError, ValueError):
        return False


def _holds(folder: Path, config: Config) -> bool:
    """Whether a folder holds the caches that a run was made from, by extractor and manifests."""
    if not _exists(folder, config):
        return False
    try:
        caches = {split: open_cache(folder / f"{split}.h5") for split in config.splits}
    except AestheticError:
        return False
    return all(
        cache.spec == config.extractor
        and cache.manifest_sha256 == config.splits[split].manifest_sha256
        for split, cache in caches.items()
    )
