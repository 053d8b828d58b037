"""Decoding beside inference: in order, bounded, and errors are heard."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.types import Status
from extract import stream as pipeline
from extract.backbones.engines import full_batch
from extract.images.decode import Photograph, Unreadable, read_photograph
from extract.images.views import views
from extract.stream import BLOCKS_AHEAD, Account, Cutting, block_size, extract_blocks, stream
from tests.cheap import CheapEngine, photograph, save_photographs

CENTER = Cutting(views("center"), threads=4)


def expected_features(number: int, choice: str = "center") -> np.ndarray:
    """(V, 1280): a photograph computed alone."""
    pixels = read_photograph(photograph(number), views(choice)).pixels_u8
    engine = CheapEngine()
    return np.stack([full_batch(engine, view[None])[0] for view in pixels])


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 200])
def test_every_photograph_comes_out_once_and_in_order(n: int) -> None:
    results = list(stream(map(photograph, range(n)), CENTER, CheapEngine(), Account()))
    features = [vector for result in results for vector in result.features]
    assert sum(len(result.outcomes) for result in results) == n
    assert len(features) == n
    for number in range(0, n, 7):
        np.testing.assert_array_equal(features[number], expected_features(number))


@pytest.mark.parametrize("choice", ["flip", "ten", "random:5"])
def test_views_of_a_photograph_stay_side_by_side(choice: str) -> None:
    cutting = Cutting(views(choice), threads=2)
    results = list(stream(map(photograph, range(21)), cutting, CheapEngine(), Account()))
    features = np.concatenate([result.features for result in results])
    assert features.shape == (21, len(views(choice)), 1280)
    for number in (0, 8, 20):
        np.testing.assert_array_equal(features[number], expected_features(number, choice))


def test_photographs_of_all_shapes_come_out_in_order_and_as_if_alone() -> None:
    sizes = [(64, 48), (48, 64), (90, 60), (50, 50), (300, 60), (40, 70)]
    sources = [photograph(number, sizes[number * number % 6]) for number in range(230)]
    cutting, engine = Cutting(views("frame"), threads=2), CheapEngine()
    results = list(stream(sources, cutting, engine, Account()))
    features = np.concatenate([result.features for result in results])
    assert features.shape == (230, 1, 1280)
    shapes = set()
    for source, vector in zip(sources, features, strict=True):
        (pixels,) = read_photograph(source, views("frame")).pixels_u8
        shapes.add(pixels.shape)
        np.testing.assert_array_equal(vector[0], full_batch(CheapEngine(), pixels[None])[0])
    assert len(shapes) > 3


def test_photographs_that_cannot_be_read_leave_their_place_empty() -> None:
    bad = Image.new("F", (9, 9))
    sources = [photograph(0), bad, photograph(2), *[bad] * 70, photograph(73)]
    results = list(stream(sources, CENTER, CheapEngine(), Account()))
    outcomes = [outcome for result in results for outcome in result.outcomes]
    good = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Photograph)]
    assert good == [0, 2, 73]
    assert all(isinstance(o, Unreadable) for i, o in enumerate(outcomes) if i not in good)
    features = np.concatenate([result.features for result in results if len(result.features)])
    for number, vector in zip(good, features, strict=True):
        np.testing.assert_array_equal(vector, expected_features(number))


def test_batches_are_full_and_only_the_last_is_filled_up() -> None:
    engine = CheapEngine()
    list(stream(map(photograph, range(64 + 20)), CENTER, engine, Account()))
    assert engine.batches == 4 + 2


def test_a_block_is_some_whole_batches() -> None:
    assert block_size(views("center"), 2) == block_size(views("center"), 16) == 64
    assert block_size(views("ten"), 16) == 8
    assert block_size(views("center"), 128) == 512
    assert block_size(views("frame"), 16) == 192


def counted(sources: Iterator[Image.Image], taken: list[int]) -> Iterator[Image.Image]:
    for source in sources:
        taken[0] += 1
        yield source


def test_photographs_in_flight_are_bounded_and_sources_may_be_endless() -> None:
    taken, size = [0], block_size(views("center"), CheapEngine.batch_size)
    endless = counted((photograph(i % 5) for i in itertools.count()), taken)
    results = stream(endless, CENTER, CheapEngine(), Account())
    for seen in range(1, 6):
        next(results)
        assert taken[0] <= (seen - 1 + BLOCKS_AHEAD) * size
    results.close()


def test_nothing_is_decoded_further_ahead_while_the_consumer_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    real = pipeline.read_photograph

    def read(*arguments: object) -> Photograph:
        decoded.append(1)
        return real(*arguments)

    monkeypatch.setattr(pipeline, "read_photograph", read)
    results = stream(map(photograph, range(1000)), CENTER, CheapEngine(), Account())
    next(results)
    time.sleep(0.3)
    assert len(decoded) <= BLOCKS_AHEAD * 64
    results.close()


class BrokenEngine(CheapEngine):
    """Fails at its third batch."""

    def features(self, pixels_u8: np.ndarray) -> np.ndarray:
        if self.batches == 2:
            raise RuntimeError("the third batch")
        return super().features(pixels_u8)


def test_an_error_of_the_engine_is_raised_to_the_consumer() -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="the third batch"):
        list(stream(map(photograph, range(500)), CENTER, BrokenEngine(), Account()))
    assert threading.active_count() == before


def test_an_error_in_decoding_that_is_no_photographs_fault_is_raised_to_the_consumer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Photograph:
        raise AttributeError("a bug")

    before = threading.active_count()
    monkeypatch.setattr(pipeline, "read_photograph", broken)
    with pytest.raises(AttributeError, match="a bug"):
        list(stream(map(photograph, range(500)), CENTER, CheapEngine(), Account()))
    assert threading.active_count() == before


def test_an_error_of_the_sources_is_raised_to_the_consumer() -> None:
    def sources() -> Iterator[Image.Image]:
        yield from map(photograph, range(70))
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(stream(sources(), CENTER, CheapEngine(), Account()))


def test_a_stream_left_alone_ends_its_threads() -> None:
    before = threading.active_count()
    results = stream(map(photograph, range(1000)), CENTER, CheapEngine(), Account())
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_seconds_of_decoding_are_added_up_over_threads() -> None:
    account = Account()
    list(stream(map(photograph, range(64)), CENTER, CheapEngine(), account))
    assert account.decode_seconds > 0


def test_seconds_with_a_batch_computed_lie_within_those_of_the_run() -> None:
    account, start = Account(), time.perf_counter()
    list(stream(map(photograph, range(64)), CENTER, CheapEngine(seconds_a_batch=0.05), account))
    assert 0.05 <= account.engine_seconds <= time.perf_counter() - start


def test_batches_that_are_computed_at_once_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 5.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    account = Account()
    with account.engine_at_work(), account.engine_at_work():
        pass
    monkeypatch.undo()
    assert account.engine_seconds == 4.0


def test_blocks_say_what_became_of_each_row(tmp_path: Path) -> None:
    save_photographs(tmp_path, [0, 1, 3])
    (tmp_path / "images" / "1.jpg").write_bytes(b"")
    paths = np.array([f"images/{i}.jpg" for i in range(4)])
    rows = np.array([3, 1, 2, 0])
    (block,) = extract_blocks(tmp_path, paths, rows, CENTER, CheapEngine(), Account())
    assert block.rows.tolist() == [3, 1, 2, 0]
    assert block.status.tolist() == [Status.OK, Status.UNREADABLE, Status.MISSING, Status.OK]
    assert block.reasons == {1: "the file is empty (0 bytes)", 2: "no such file"}
    assert block.size.tolist() == [[64, 48], [0, 0], [0, 0], [64, 48]]
    assert block.features.shape == (4, 1, 1280)


def test_a_block_without_one_good_photograph_is_still_a_block(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    engine = CheapEngine()
    (block,) = extract_blocks(
        tmp_path, np.array(["a.jpg"]), np.array([0]), CENTER, engine, Account()
    )
    assert block.status.tolist() == [Status.UNREADABLE]
    assert engine.batches == 0


def test_photographs_beyond_max_pixels_are_refused_in_the_stream() -> None:
    cutting = Cutting(views("center"), threads=1, max_pixels=100)
    (result,) = stream([photograph(0)], cutting, CheapEngine(), Account())
    assert str(result.outcomes[0]) == "64 x 48 pixels are more than --max-pixels 100"


def test_a_part_of_a_batch_gives_what_a_whole_one_gives() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), np.uint8)
    engine = CheapEngine()
    np.testing.assert_array_equal(full_batch(engine, pixels[:5]), full_batch(engine, pixels)[:5])


INTERRUPTED = """
import sys, time
from pathlib import Path
from cache import console
from extract import stream as pipeline
from extract.images.views import views
from tests.cheap import CheapEngine
def endless(*_):
    print("decoding", flush=True)
    time.sleep(60)
pipeline.read_photograph = endless
cutting = pipeline.Cutting(views("center"), 2)
paths = [Path("a.jpg")] * 200
sys.exit(console.run("extract", lambda: len(list(
    pipeline.stream(paths, cutting, CheapEngine(), pipeline.Account())))))
"""


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_ctrl_c_waits_for_no_photograph_that_is_being_decoded(
    number: signal.Signals, code: int, words: str
) -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "decoding\n"
        start = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert process.returncode == code
    assert said.startswith(f"extract: {words}. ")


def test_a_photograph_that_takes_long_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photographs(tmp_path, range(2))
    paths = [tmp_path / "images" / f"{number}.jpg" for number in range(2)]
    real = pipeline.read_photograph

    def slow(source: Path, *arguments: object) -> Photograph:
        time.sleep(0.5 if source == paths[1] else 0)
        return real(source, *arguments)

    monkeypatch.setattr(pipeline, "read_photograph", slow)
    monkeypatch.setattr(pipeline, "REMARK_SECONDS", 0.1)
    (result,) = stream(paths, CENTER, CheapEngine(), Account())
    assert len(result.features) == 2
    assert capsys.readouterr().err == f"{paths[1]}: still being read after 0 s ...\n"
