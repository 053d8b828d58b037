"""The report answers its questions in order, alone in one file, whatever is missing."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cache.errors import IncompleteCacheError
from cache.store import open_cache
from heads.cli import main as cli
from heads.data.predictions import Prediction
from heads.data.splits import load_splits
from heads.errors import RunError
from heads.experiments.train import TrainRequest, train_run
from heads.metrics.catalogue import METRICS
from heads.metrics.comparison import Sample
from heads.report.data import floor_on_val, read_report, title
from heads.report.photos import BUDGET_BYTES, Album, choose, examples, mistakes, rated
from heads.report.write import write_report
from heads.runs.predictions import read_predictions
from heads.web.html import decimal, listed
from tests.heads.made import constant_prediction, labels_of_means, noisy_prediction, random_labels
from tests.heads.planted import Plan
from tests.report_runs import ALL_HEADS, GONE, PLAN, SIZES, edit_json, make_features, make_runs

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Checks that tags close in order, and gathers what tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.words.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.words[tag][-1] += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five finished runs; only to be read."""
    return make_runs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(runs: Path) -> str:
    return write_report(runs).read_text(encoding="utf-8")


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A copy of the runs that a test may change."""
    return shutil.copytree(runs, tmp_path / "runs")


# --- the page -------------------------------------------------------------------------------------


def test_the_title_says_data_number_scale_threshold_and_note(page: str) -> None:
    (words,) = read(page).words["title"]
    assert words == (
        "data: 5 heads on 60 test photographs, scale 1 to 7, beautiful above 4 "
        "(votes are simulated)"
    )
    assert "Note: votes are simulated" in page


def test_labels_without_a_note_show_none(tmp_path: Path) -> None:
    plan = replace(PLAN, label_note="")
    text = write_report(make_runs(tmp_path, plan, ("constant",), trained=False)).read_text()
    assert "Note:" not in text
    assert "beautiful above 4</title>" in text


def test_the_sections_answer_the_questions_in_order(page: str) -> None:
    assert [words.strip() for words in read(page).words["h2"]] == [
        "Which head should I use?",
        "By how much does it beat the floor?",
        "Can I trust that?",
        "What does emd get wrong?",
        "How do the heads differ?",
        "How did training go?",
        "Where do the other heads go wrong?",
        "What exactly was run?",
    ]


def test_every_tag_closes_and_every_reference_leads_somewhere(page: str) -> None:
    reader = read(page)
    assert not reader.wrong
    assert not reader.open
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"] or "" for tag, a in reader.tags if tag in ("a", "use")]
    assert len(targets) > 100
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_the_page_needs_no_other_file_and_no_network(page: str) -> None:
    reader = read(page)
    assert "://" not in page
    for tag, attributes in reader.tags:
        assert "src" not in attributes, tag
        link = attributes.get("href") or "#"
        assert link.startswith(("#", "data:")), tag
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_pictures_have_words_and_tables_have_captions_and_headers(page: str) -> None:
    reader = read(page)
    for attributes in reader.every("svg"):
        hidden = attributes.get("aria-hidden") == "true"
        nested = "role" not in attributes and "x" in attributes
        assert hidden or nested or (attributes.get("aria-label") or "").strip()
    assert len(reader.every("caption")) == len(reader.every("table"))
    assert all(a.get("scope") in ("col", "row") for a in reader.every("th"))
    assert reader.every("html")[0]["lang"] == "en"


def test_the_best_head_is_named_with_its_interval_and_the_floor(page: str) -> None:
    answer = page[page.index("id=answer") : page.index("id=ranking")]
    assert "Use emd" in answer
    assert re.search(r"a 95\u202f% interval of 0\.\d{3} to 0\.\d{3}", answer)
    assert "The floor has 0, the ceiling 0." in answer
    assert "beats its floor" in answer


def test_heads_that_cannot_be_told_apart_are_named(page: str) -> None:
    # Its predictions are a copy of the best head's.
    assert re.search(r"ridge.*cannot be told apart", page[: page.index("id=ranking")])


def test_a_head_that_does_not_beat_the_floor_is_not_recommended(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, replace(PLAN, noise=200.0), ("constant",), trained=False)
    assert "None of them yet" in write_report(runs).read_text()


def test_every_run_has_its_row_with_every_metric(page: str) -> None:
    table = page[page.index('class="sortable metrics"') :]
    table = table[: table.index("</table>")]
    for name in (*ALL_HEADS, "emd"):
        assert f'data-value="{name}">{name}' in table
    for name in METRICS:
        assert name == "confusion" or f">{name}" in table


def test_a_collapsed_head_is_said_to_have_no_best_photograph(page: str) -> None:
    assert "It gives every photograph the same score" in page


def test_curves_are_drawn_with_the_floor_on_val(page: str) -> None:
    section = page[page.index("id=training") : page.index("id=others")]
    assert section.count('class="plot"') == 2  # MSE and EMD of emd
    assert section.count('class="floor"') == 2
    assert "Solved directly, without epochs" in section


def test_the_run_can_be_repeated_from_the_page(page: str, runs: Path) -> None:
    data = read_report(runs)
    file = runs.resolve() / "ridge" / "config.json"
    assert f"heads train --out again --config {file}\n" in page
    assert data.best.config.extractor.sha256 in page
    for facts in data.best.config.splits.values():
        assert facts.manifest_sha256 in page
    assert data.best.config.library_versions["numpy"] in page


def test_the_same_runs_give_the_same_bytes(own: Path) -> None:
    assert write_report(own).read_bytes() == write_report(own).read_bytes()


def test_known_bootstraps_change_nothing(own: Path) -> None:
    plain = read_report(own).contests
    samples = {run.name: Sample.of(run.prediction, run.labels) for run in read_report(own).runs}
    assert read_report(own, samples=samples).contests == plain


def test_scores_without_votes_are_reported_too(tmp_path: Path) -> None:
    plan = Plan(levels=0, n_features=16)
    runs = make_runs(tmp_path, plan, ("constant", "ridge"), trained=False)
    text = write_report(runs).read_text()
    assert "scale 0 to 100, beautiful above 50" in text
    assert "None of these heads predicts a distribution" in text
    assert "how far people agree is not known" in text


def test_photographs_that_are_all_beautiful_have_no_roc(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, replace(PLAN, threshold="1"), ("constant", "ridge"), trained=False)
    text = write_report(runs).read_text()
    assert "ROC curves" not in text
    assert not read(text).wrong


def test_words_from_labels_and_files_are_escaped(own: Path) -> None:
    edit_json(own / "emd" / "config.json", label_note="<script>alert(1)</script>")
    (own / "emd").rename(own / "a<b>&c")
    text = write_report(own).read_text()
    assert "<b>&c" not in text
    assert "a&lt;b&gt;&amp;c" in text
    assert not read(text).wrong


# --- light and dark -------------------------------------------------------------------------------


def palettes(page: str) -> list[dict[str, str]]:
    """Return the colours of :root, light, dark and printed."""
    blocks = re.findall(r":root \{([^}]*)\}", page)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def luminance(colour: str) -> float:
    """Return the relative luminance of '#rrggbb' (WCAG 2.1)."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", ["ink", "muted", "truth", "predicted", "good", "bad"])
def test_text_stands_out_in_light_dark_and_print(page: str, name: str) -> None:
    found = palettes(page)
    assert len(found) == 3
    for colours in found:
        for ground in ("paper", "surface"):
            pair = sorted((luminance(colours[name]), luminance(colours[ground])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground, colours[name])


# --- photographs ----------------------------------------------------------------------------------


def test_a_photograph_that_is_gone_has_a_placeholder(runs: Path) -> None:
    album = Album.of([GONE, "test1"], read_report(runs).photographs, lambda p, _: _bytes_of(p))
    assert album.missing == 1
    assert f"photograph {GONE} (not found)" in album.picture(GONE)
    assert 'href="#gone"' in album.picture(GONE)
    assert 'href="#p1"' in album.picture("test1")
    assert 'id="gone"' in album.definitions()


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_a_photograph_is_embedded_once_however_often_it_is_shown(page: str) -> None:
    pictures = re.findall(r'href="(data:image/jpeg;base64,[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) > 20
    assert page.count("<use ") > len(pictures)


def test_a_cache_without_a_data_root_has_no_photographs(planted: Path, tmp_path: Path) -> None:
    data = load_splits(planted)
    train_run(TrainRequest("constant", None, 0, None, planted, tmp_path), data)
    report = read_report(tmp_path)
    assert report.photographs == {}
    assert report.name == "features"


def test_thumbnails_shrink_until_all_of_them_fit() -> None:
    asked = []

    def make(path: Path, pixels: int) -> bytes:
        asked.append(pixels)
        return bytes(pixels * pixels)

    names = [str(k) for k in range(150)]
    album = Album.of(names, {name: Path(name) for name in names}, make)
    assert sorted(set(asked), reverse=True) == [240, 180, 130]
    assert len(album.definitions()) < 4 / 3 * BUDGET_BYTES + 20_000


def test_best_and_worst_are_by_score_and_mistakes_by_distance() -> None:
    labels = random_labels(100)
    prediction = noisy_prediction(labels)
    choice = choose(prediction, labels)
    assert (len(choice.best), len(choice.worst)) == (10, 10)
    assert prediction.score[choice.best[0]] == prediction.score.max()
    assert prediction.score[choice.worst[0]] == prediction.score.min()
    error = prediction.score - labels.mean
    assert choice.overrated[0] == np.argmax(error)
    assert choice.underrated[0] == np.argmin(error)


def test_scores_that_only_rank_are_mistaken_by_their_place() -> None:
    labels = labels_of_means([1.0, 2.0, 3.0, 4.0])
    prediction = Prediction(np.array([9.0, 2.0, 3.0, 4.0]), np.full(4, 0.5), ranking_only=True)
    np.testing.assert_allclose(mistakes(prediction, labels), [0.75, -0.25, -0.25, -0.25])


def test_fewer_photographs_than_places_are_all_shown() -> None:
    labels = random_labels(3)
    choice = choose(noisy_prediction(labels), labels)
    assert sorted(choice.best.tolist()) == [0, 1, 2]
    highest, lowest = rated(labels)
    assert highest.tolist() == lowest[::-1].tolist()


def test_examples_are_the_best_the_middle_and_the_worst_distribution() -> None:
    labels = random_labels(51)
    prediction = noisy_prediction(labels)
    gap = np.cumsum(prediction.distribution - labels.distribution, axis=1)
    emd = np.sqrt(np.mean(gap**2, axis=1))
    best, middle, worst = examples(prediction, labels)
    assert (emd[best], emd[middle], emd[worst]) == (emd.min(), np.median(emd), emd.max())
    bare = Prediction(prediction.score, prediction.p_beautiful)
    assert not len(examples(bare, labels))


# --- what is read ---------------------------------------------------------------------------------


def test_the_floor_on_val_is_the_constant_head_learned_on_train(tmp_path: Path) -> None:
    features = make_features(tmp_path)
    caches = {name: open_cache(features / f"{name}.h5") for name in SIZES}
    floors = floor_on_val(caches, limit=50)
    middle = caches["train"].labels.mean[:50].mean()
    assert floors["mse"] == pytest.approx(np.mean((caches["val"].labels.mean - middle) ** 2))
    share = (caches["train"].labels.mean[:50] > 4).mean()
    truth = caches["val"].labels.mean > 4
    entropy = -np.mean(np.where(truth, np.log(share), np.log(1 - share)))
    assert floors["cross_entropy"] == pytest.approx(entropy)


def test_runs_on_other_photographs_are_left_out_by_name(own: Path) -> None:
    path = own / "logistic" / "predictions.csv"
    path.write_text(path.read_text().replace("test1,", "elsewhere,"))
    data = read_report(own)
    assert data.left_out == {"logistic": "measured on other photographs"}
    assert "Left out: logistic (measured on other photographs)" in write_report(own).read_text()


def test_a_damaged_run_is_left_out_and_said_so(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "ridge" / "metrics.json").write_text("{")
    write_report(own)
    assert "ridge is left out of the report: " in capsys.readouterr().err


def test_labels_that_changed_since_are_refused(own: Path) -> None:
    for run in ALL_HEADS:
        if run != "ridge":
            shutil.rmtree(own / run)
    shutil.rmtree(own / "emd")
    path = own / "ridge" / "predictions.csv"
    stored = read_predictions(own / "ridge")
    first = stored.image_id[stored.split == "test"][0]
    lines = path.read_text().splitlines()
    lines = [_flipped(line) if line.startswith(f"{first},") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match="the features were extracted anew since"):
        read_report(own)


def _flipped(line: str) -> str:
    cells = line.split(",")
    cells[5] = "1" if cells[5] == "0" else "0"
    return ",".join(cells)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no finished run\. Make some with `heads compare`"):
        read_report(tmp_path)


def test_caches_that_moved_are_found_by_their_option(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, PLAN, ("constant",), trained=False)
    moved = (tmp_path / "features").rename(tmp_path / "elsewhere")
    with pytest.raises(IncompleteCacheError):
        read_report(runs)
    assert title(read_report(runs, moved)).startswith("data: 1 head on 60 test photographs")


def test_the_command_prints_where_the_page_is(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(own)]) == 0
    assert capsys.readouterr().out == f"{own / 'report.html'}\n"
    assert cli.main(["report", str(own / "emd")]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_numbers_have_a_real_minus_and_never_a_negative_zero() -> None:
    assert decimal(-0.5, 2) == "−0.50"
    assert decimal(-0.0001, 2) == "0.00"
    assert decimal(0.25, 2, sign=True) == "+0.25"
    assert decimal(float("nan"), 2) == "–"
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


def test_a_constant_prediction_has_an_end_of_every_list() -> None:
    labels = random_labels(20)
    assert len(choose(constant_prediction(labels), labels).rows()) <= 20


def test_names_of_photographs_are_escaped() -> None:
    name = 'a"><script>&.jpg'
    picture = Album({name: b"jpeg"}).picture(name)
    assert "<script>" not in picture
    assert 'aria-label="photograph a&quot;&gt;&lt;script&gt;&amp;.jpg"' in picture
