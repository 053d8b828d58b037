"""The cells of an explanation add up to the score, and lie where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import NoPhotographsError
from cache.types import ExtractorSpec, Scale
from extract.images.views import views
from heads.errors import HeadError
from heads.models.base import Head
from heads.models.logistic import LogisticHead
from heads.models.neural.settings import ClosedFormSettings, NetworkSettings
from heads.models.registry import make_head
from heads.models.ridge import RidgeDistHead, RidgeHead
from heads.photos import Unreadable
from heads.runs.config import RunConfig, SplitFacts
from heads.runs.files import read_config
from heads.runs.loaded import LoadedRun, Opinion, load_run
from heads.runs.reference import Reference
from heads.scoring.explain import Explanation, _left_out, _map_of, draw, explain, explain_map
from tests.heads.made import planted
from tests.heads.studio import Studio

WIDTH = 12
BOX = (0.0625, 0.0625, 0.9375, 0.9375)
QUICK = NetworkSettings(hidden=(), transform="none", epochs=3, lr=0.01)


def loaded(head: Head, spec: ExtractorSpec) -> LoadedRun:
    """A run of a head that was just trained, on the scale 1..7."""
    config = RunConfig(
        head=head.about.name,
        settings=ClosedFormSettings(),
        seed=0,
        limit=None,
        extractor=spec,
        splits={"train": SplitFacts("", "", 200)},
        features_dir="",
        label_note="",
        library_versions={},
    )
    reference = Reference(Scale(1, 7), "4", np.linspace(1, 7, 13))
    return LoadedRun(Path("runs") / head.about.name, config, head, reference)


def trained(head: Head) -> Head:
    data = planted(260, WIDTH)
    head.fit(*data.part(0, 200), *data.part(200, 260), seed=0)
    return head


def a_map(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 0.5, (7, 7, WIDTH)).astype(np.float32)


@pytest.fixture
def spec(studio: Studio) -> ExtractorSpec:
    return read_config(studio.run()).extractor


def sigmoid(value: float) -> float:
    return 1 / (1 + np.exp(-value))


def of_an_earlier_version(head: Head) -> Head:
    """The same head as of a run whose features had no root taken."""
    arrays, values = trained(head).state()
    return type(head).from_state(arrays, {**values, "root": False})


def test_ridge_without_a_root_is_the_mean_of_its_cells(spec: ExtractorSpec) -> None:
    explanation = explain_map(loaded(of_an_earlier_version(RidgeHead()), spec), a_map(), BOX)
    assert explanation.exact
    assert explanation.cells.shape == (7, 7)
    assert 1 < explanation.opinion.score < 7
    assert explanation.cells.mean() == pytest.approx(explanation.opinion.score, abs=1e-5)
    assert explanation.output == explanation.cells.mean()
    assert explanation.drawn.sum() == pytest.approx(0, abs=1e-9)


def test_logistic_without_a_root_is_the_mean_of_its_cells_before_the_sigmoid(
    spec: ExtractorSpec,
) -> None:
    head = of_an_earlier_version(LogisticHead())
    explanation = explain_map(loaded(head, spec), a_map(), BOX)
    assert explanation.exact
    a, b = head.state()[1]["platt"]
    assert sigmoid(a * explanation.cells.mean() + b) == pytest.approx(
        explanation.opinion.p_beautiful, abs=1e-6
    )


@pytest.mark.parametrize("name", ["binary", "sigmoid", "tanh"])
def test_linear_networks_are_the_mean_of_their_cells_before_the_last_function(
    name: str, spec: ExtractorSpec
) -> None:
    head = trained(make_head(name, QUICK))
    explanation = explain_map(loaded(head, spec), a_map(), BOX)
    output, score = explanation.cells.mean(), explanation.opinion.score
    task, (a, b) = head.state()[1]["task"], head.state()[1]["platt"]
    expected = {
        "binary": lambda: 1 + 6 * sigmoid(a * output + b),
        "sigmoid": lambda: 1 + 6 * sigmoid(output),
        "tanh": lambda: np.interp(
            np.tanh(output),
            [task["out_lo"], task["out_hi"]],
            [task["mean_lo"], task["mean_hi"]],
        ),
    }[name]()
    assert explanation.exact
    assert score == pytest.approx(expected, abs=1e-4)


def test_a_cell_counts_where_it_lies(spec: ExtractorSpec) -> None:
    head = trained(RidgeHead())
    quiet = np.ones((7, 7, WIDTH), np.float32)
    best = int(np.argmax(head.state()[0]["kernel"][:, 0]))
    quiet[1, 5, best] += 1
    drawn = explain_map(loaded(head, spec), quiet, BOX).drawn
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (1, 5)


@pytest.mark.parametrize(
    "head",
    [
        RidgeHead(),
        LogisticHead(),
        RidgeDistHead(),
        make_head("sigmoid", NetworkSettings(hidden=(8,), transform="none", epochs=2)),
        make_head("binary", NetworkSettings(hidden=(), transform="root", epochs=2)),
        make_head("tanh", replace(QUICK, ensemble=2)),
    ],
)
def test_what_is_no_sum_leaves_each_cell_out(head: Head, spec: ExtractorSpec) -> None:
    feature_map = a_map()
    explanation = explain_map(loaded(trained(head), spec), feature_map, BOX)
    assert not explanation.exact
    without = np.delete(feature_map.reshape(49, WIDTH), 3 * 7 + 2, axis=0).mean(axis=0)
    score = head.predict(without[None, None]).score[0]
    assert explanation.cells[3, 2] == pytest.approx(
        48 * (explanation.opinion.score - score), abs=1e-3
    )


def test_a_map_of_a_frame_is_explained_cell_by_cell(spec: ExtractorSpec) -> None:
    (view,) = views("frame")
    seen = np.random.default_rng(0).gamma(2.0, 0.5, (5, 10, WIDTH)).astype(np.float32)
    run = loaded(trained(RidgeHead()), replace(spec, views=(view.name,)))
    explanation = explain_map(run, seen, view.box_in((500, 200)))
    score = run.head.predict(seen.mean(axis=(0, 1))[None, None]).score[0]
    assert explanation.opinion.score == pytest.approx(score, abs=1e-5)
    assert explanation.cells.shape == (5, 10)
    left, top, right, bottom = explanation.box
    assert (left, right) == (0, 1)
    assert top < 0 < 1 < bottom


def test_leaving_out_agrees_with_the_sum_where_a_head_is_linear(spec: ExtractorSpec) -> None:
    head, feature_map = trained(RidgeHead()), a_map()
    explanation = explain_map(loaded(head, spec), feature_map, BOX)
    left_out = _left_out(head, feature_map, explanation.opinion.score)
    np.testing.assert_allclose(left_out, explanation.drawn, atol=1e-3)


def test_a_head_that_does_not_look_is_not_explained(studio: Studio) -> None:
    with pytest.raises(HeadError, match=r"looks at no photograph: there is nothing to explain"):
        explain(load_run(studio.run("constant")), studio.path(1))


# --- the drawing ----------------------------------------------------------------------------------


def drawn_with(cells: np.ndarray, photograph: Path) -> np.ndarray:
    """Draw cells over a photograph; return the right half, the explanation, as pixels."""
    opinion = Opinion(4.0, None, 0.5, 50.0, beautiful=True)
    explanation = Explanation(cells, False, 4.0, "score", opinion, BOX)
    sheet = np.asarray(draw(explanation, photograph, "a title"), np.int64)
    return sheet[:, -(sheet.shape[1] // 2) + 4 :]


def grey(path: Path, size: tuple[int, int] = (400, 300)) -> Path:
    Image.new("RGB", size, (128, 128, 128)).save(path)
    return path


def test_orange_lies_on_the_cell_that_lifts_and_blue_on_the_one_that_lowers(
    tmp_path: Path,
) -> None:
    cells = np.zeros((7, 7))
    cells[0, 6], cells[6, 0] = 1, -1
    pixels = drawn_with(cells, grey(tmp_path / "grey.png"))
    redness = pixels[:480, :, 0] - pixels[:480, :, 2]
    hot, cold = (
        np.unravel_index(redness.argmax(), redness.shape),
        np.unravel_index(redness.argmin(), redness.shape),
    )
    assert hot[0] < 120
    assert hot[1] > 500
    assert cold[0] > 360
    assert cold[1] < 140


def test_what_the_head_does_not_see_is_dimmed(tmp_path: Path) -> None:
    pixels = drawn_with(np.zeros((7, 7)), grey(tmp_path / "grey.png"))
    border, inside = pixels[:25, :600], pixels[60:420, 80:560]
    assert border.min() > inside.max()


def test_what_a_head_sees_beyond_the_photograph_is_drawn_around_it(tmp_path: Path) -> None:
    opinion = Opinion(4.0, None, 0.5, 50.0, beautiful=True)
    cells = np.zeros((6, 8))
    cells[0] = 1  # a row that lies beyond the photograph
    explanation = Explanation(cells, False, 4.0, "score", opinion, (0.0, -0.5, 1.0, 1.5))
    path = grey(tmp_path / "wide.png", (640, 160))
    sheet = np.asarray(draw(explanation, path, "a title"), np.int64)[:320]
    right = sheet[:, -640:]
    assert (right[:20, :, 0] > right[:20, :, 2] + 50).all()
    assert np.ptp(right[200:], axis=2).max() == 0
    assert (sheet[:79, :640] == 255).all()
    assert (sheet[81:239, :640] == 128).all()


def test_a_photograph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    class Refuses:
        def __call__(self, photograph: Path) -> None:
            raise Unreadable("the file is empty (0 bytes)")

    with pytest.raises(NoPhotographsError, match=r"a\.jpg: the file is empty.*another photograph"):
        _map_of(Refuses(), Path("a.jpg"))
