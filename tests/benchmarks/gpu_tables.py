"""What gpu.py measured, as tables for RESULTS.md."""

from __future__ import annotations

from typing import Any

AVA_PHOTOGRAPHS, N_FEATURES = 255_500, 1280
# Of float32, an NVIDIA card multiplies only the first 11 binary digits (TF32) unless told not to.
EXACT = "float32, exact products"
PRECISIONS = ("float32", EXACT, "bfloat16", "float16")
NOT_MEASURED = "not measured"


def as_markdown(results: dict[str, Any]) -> str:
    """Return the section for RESULTS.md; what a run did not come to is `not measured`."""
    parts = (_machine_lines, _extract_lines, _inference_lines, _tensorflow_lines, _decode_lines)
    more = (_feature_lines, _head_lines)
    return "\n\n".join("\n".join(part(results)) for part in (*parts, *more)) + "\n"


def _machine_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("machine")
    if not found:
        return [f"Machine: {NOT_MEASURED}."]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [
        f"{found['card']}; {found['cores']} cores of {found['processor']}, "
        f"{found['memory_gib']} GiB; Python {found['python']}, {versions}, TensorFlow "
        f"{found['tensorflow']}; {found['date']}."
    ]


def _extract_lines(results: dict[str, Any]) -> list[str]:
    made, ways = results.get("photographs", {}), results.get("extract", {})
    lines = [
        f"`extract --split all`, {made.get('n', 0):,} JPEGs of 640 x 480 "
        f"({made.get('bytes', 0) / 1e3:.0f} kB each, {made.get('different', 0)} different ones); "
        f"all of AVA is {AVA_PHOTOGRAPHS:,} photographs:",
        "",
        "| settings | img/s | decode, core-s | engine at work, s | write, s | wall, s | "
        "whole command, s | card busy | GPU GB | host GB | all of AVA |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("default", "16 bits", "best"):
        if name not in ways:
            lines.append(f"| {name} | {NOT_MEASURED} |" + " |" * 9)
            continue
        way = ways[name]
        if "cut_short" in way:
            lines.append(f"| {name} | cut short: {way['cut_short']} |" + " |" * 9)
            continue
        busy = way["gpu_busy_percent"]
        start = way["command_seconds"] - way["wall"]
        whole = (start + AVA_PHOTOGRAPHS / way["images_per_second"]) / 60
        lines.append(
            f"| {name} ({way['options'] or 'none'}; {way['device']}) "
            f"| {way['images_per_second']:,.0f} | {way['decode']:.1f} | {way['engine_busy']:.1f} "
            f"| {way['write']:.1f} | {way['wall']:.1f} | {way['command_seconds']:.1f} "
            f"| {'' if busy is None else f'{busy:.0f} %'} | {way['gpu_gb']:.1f} "
            f"| {way['host_gb']:.1f} | {whole:.1f} min |"
        )
    return lines


def _inference_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("inference", {})
    lines = [
        "Inference alone, img/s: uploaded as 8 bits, two batches at a time / already on the card:",
        "",
        "| batch | " + " | ".join(PRECISIONS) + " | compiled in |",
        "|---" * (len(PRECISIONS) + 2) + "|",
    ]
    batches = sorted(int(name.split()[1]) for name in found if name.startswith("batch"))
    for batch in batches:
        row = found[f"batch {batch}"]
        rates = [f"{row[p]['uploaded']:,.0f} / {row[p]['on_card']:,.0f}" for p in PRECISIONS]
        seconds = f"{row['seconds_compiling']:.0f} s"
        lines.append(f"| {batch} | " + " | ".join([*rates, seconds]) + " |")
    if not batches:
        lines.append(f"| {NOT_MEASURED} |" + " |" * (len(PRECISIONS) + 1))
    if "upload_gb_per_s" in found:
        lines += ["", f"Upload alone: {found['upload_gb_per_s']:.1f} GB/s."]
    return lines


def _tensorflow_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("tensorflow", {})
    if "smallest_cosine" not in found:
        return [f"Inference alone in TensorFlow: {NOT_MEASURED}."]
    rates = ", ".join(
        f"{name} {found[name]['uploaded']:,.0f} img/s, first batch after "
        f"{found[name]['seconds_compiling']:.0f} s"
        for name in ("as it is", "XLA")
    )
    return [
        f"Inference alone in TensorFlow, float32, batch {found['batch']}, uploaded as 8 bits: "
        f"{rates}; smallest cosine between the two {found['smallest_cosine']:.8f}."
    ]


def _decode_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("decode", {})
    lines = ["Decoding alone:", "", "| with | img/s | core-ms of this process |", "|---|---|---|"]
    for name, row in found.items():
        lines.append(f"| {name} | {row['images_per_second']:,.0f} | {row['core_ms']:.2f} |")
    return lines if found else [*lines, f"| {NOT_MEASURED} | | |"]


def _feature_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("features", {})
    lines = [
        "Features against the processor's in float32:",
        "",
        "| precision | smallest cosine | largest difference |",
        "|---|---|---|",
    ]
    for name in PRECISIONS:
        row = found.get(name)
        cells = (
            f"{row['smallest_cosine']:.8f} | {row['largest_difference']:.1e}"
            if row
            else f"{NOT_MEASURED} |"
        )
        lines.append(f"| {name} | {cells} |")
    return lines


def _head_lines(results: dict[str, Any]) -> list[str]:
    found = results.get("heads", {})
    fitted = found.get("model.fit")
    seconds = NOT_MEASURED if fitted is None else f"{fitted['epoch_seconds']:.2f} s"
    return [
        f"Stage two on this backend, an epoch of the default `emd`, {found.get('n', 0):,} x "
        f"{N_FEATURES:,}, batch 1,024, by `model.fit`: {seconds}. Our own loop is compiled by "
        "TensorFlow, and does not run here."
    ]
