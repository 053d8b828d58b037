"""The arrays of a legacy torch file, read without torch and without running code from it.

A legacy (pre-zip) torch file: five pickles (magic number, protocol version, system facts, the
state dict, the storages' keys), then for each key an int64 count and the raw numbers. The state
dict's tensors are calls of torch._utils._rebuild_tensor_v2 on persistent ids
('storage', type, key, device, count, view).
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from cache.text import shown
from extract.errors import WeightsError

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
        raise WeightsError(
            f"{path} is not a readable torch weights file ({shown(error)})."
        ) from None
    return OrderedDict((name, _view(tensor, storages)) for name, tensor in tensors.items())


def _read_storage(file: BinaryIO, dtype: str) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    content = file.read(count * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype=dtype, count=count)


def _view(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    count = int(np.prod(tensor.shape, dtype=int))
    return storages[tensor.key][tensor.offset : tensor.offset + count].reshape(tensor.shape)
