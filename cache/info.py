"""What `cache info` shows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cache.pairs import pairs_path
from cache.places import photographs_of
from cache.store import FeatureCache, open_cache
from cache.tables import read_table
from cache.text import LONGEST_LINE, shown
from cache.types import Status


def describe(path: Path) -> dict[str, Any]:
    """Return JSON-ready facts about a cache, finished or not.

    Raises:
        FormatError, IncompleteCacheError: as `open_cache`.
    """
    cache = open_cache(path, allow_partial=True)
    found = photographs_of(cache)
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "complete": cache.header.complete,
        "split": cache.split,
        "split_rule": cache.split_rule.to_dict() | {"kind": cache.split_rule.kind.value},
        "rows": cache.n_rows,
        **{status.name.lower(): cache.counts[status] for status in Status},
        "features": {"shape": list(cache.feature_rows.shape), "dtype": cache.spec.dtype},
        "labels": _labels(cache),
        "extractor": cache.spec.to_dict(),
        "extractor_sha256": cache.spec.sha256,
        "manifest_sha256": cache.manifest_sha256,
        "data_root": str(cache.data_root),
        "photographs": None if found is None else str(found),
        "weights_origin": cache.header.provenance.weights_origin,
        "engine": cache.header.provenance.engine,
        "library_versions": cache.library_versions,
        "created": cache.header.provenance.created,
        "finished": cache.header.finished,
    }


def _labels(cache: FeatureCache) -> dict[str, Any]:
    labels, pairs = cache.labels, pairs_path(cache.path)
    known = len(labels) and not labels.pairs_alone
    return {
        "scale": [labels.scale.lo, labels.scale.hi],
        "levels": labels.levels or None,
        "threshold": labels.threshold,
        "mean_of_means": float(labels.mean.mean()) if known else None,
        "groups": len(set(labels.group.tolist()) - {""}),
        "comparisons": sum(1 for _ in read_table(pairs).rows()) if pairs.exists() else None,
        "note": cache.label_note,
    }


def render(facts: dict[str, Any]) -> str:
    """Return the facts as aligned lines for a person."""
    extractor, labels, rule = facts["extractor"], facts["labels"], facts["split_rule"]
    shape = " x ".join(f"{n:,}" for n in facts["features"]["shape"])
    votes = "means only" if labels["levels"] is None else f"votes 1..{labels['levels']}"
    if labels["mean_of_means"] is None:
        votes = "no votes or means"
    if labels["comparisons"] is not None:
        votes += f", {labels['comparisons']:,} comparisons"
    lines = {
        "file": f"{facts['file']} ({facts['bytes'] / 1e6:,.1f} MB)",
        "state": "complete" if facts["complete"] else "unfinished: `extract` goes on with it",
        "split": f"{facts['split']}, by {rule['rule']} (seed {rule['seed']})",
        "rows": f"{facts['rows']:,}: {facts['ok']:,} ok, {facts['missing']:,} missing, "
        f"{facts['unreadable']:,} unreadable, {facts['pending']:,} pending",
        "features": f"{shape} {facts['features']['dtype']} (photographs x views x numbers)",
        "views": ", ".join(extractor["views"]),
        "layers": ", ".join(f"{name} [{a}:{b}]" for name, a, b in extractor["layers"]),
        "labels": f"{votes}, scale {labels['scale'][0]:g}..{labels['scale'][1]:g}, "
        f"beautiful above {labels['threshold']}" + (f"; {labels['note']}" * bool(labels["note"])),
        "backbone": f"{extractor['backbone']}, {extractor['precision']}; {facts['weights_origin']}",
        "fingerprint": facts["extractor_sha256"],
        "manifest": facts["manifest_sha256"],
        "photographs": _place(facts),
        "made": f"{facts['created']} to {facts['finished'] or '?'} by {facts['engine']}",
        "versions": ", ".join(f"{k} {v}" for k, v in facts["library_versions"].items()),
    }
    return "\n".join(f"{name:12} {shown(value, LONGEST_LINE)}" for name, value in lines.items())


def _place(facts: dict[str, Any]) -> str:
    noted, found = facts["data_root"], facts["photographs"]
    if noted == str(Path()):
        return "not said"
    if found == noted:
        return str(noted)
    return f"{noted} (not there now)" if found is None else f"{found} ({noted} when extracted)"
