"""The page answers its questions in order, alone in one file, whatever is missing."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

from cache.text import visible
from heads.photos import thumbnail
from heads.report.data import read_report
from heads.report.page import page as report_page
from heads.report.write import write_report
from tests.heads.planted import Plan
from tests.heads.report.finished_runs import (
    GONE,
    NASTY,
    PLAN,
    forget_metric,
    make_hostile_runs,
    make_runs,
)
from tests.heads.report.reading import Reader, read


def test_labels_without_a_note_show_none(tmp_path: Path) -> None:
    plan = replace(PLAN, label_note="")
    text = write_report(make_runs(tmp_path, plan, ("constant",), trained=False)).read_text()
    assert "Note:" not in text
    assert "beautiful above 4</title>" in text


def test_the_sections_answer_the_questions_in_order(page: str) -> None:
    assert [words.strip() for words in read(page).words["h2"]] == [
        "Which head should I use?",
        "By how much does it beat the floor?",
        "Linear against neural: what did a network buy?",
        "Choosing within a group",
        "Can I trust that?",
        "What does ridge get wrong?",
        "How do the heads differ?",
        "How did training go?",
        "Where do the other heads go wrong?",
        "What exactly was run?",
    ]


def test_a_network_stands_beside_its_linear_rival(page: str, runs: Path) -> None:
    section = page[page.index("<section id=contest>") : page.index("<section id=trust>")]
    assert ">emd</th>" in section
    assert ">ridge-dist</td>" in section
    assert section.count("cannot tell them apart") == 2  # it is a copy of that run
    size = (runs / "ridge-dist" / "model.npz").stat().st_size
    assert f"instead of {size / 1000:.0f} kB" in section
    assert 'href="#contest"' in page


def test_choosing_stands_beside_chance_and_the_halves_of_the_votes(page: str) -> None:
    section = page[page.index("<section id=choosing>") : page.index("<section id=trust>")]
    assert "20 groups have two photographs or more" in section
    assert "Of their 20 pairs" in section
    assert "constant<small>chance</small>" in section
    assert "half of the votes<small>measured by the other half</small>" in section
    (chance,) = (row for row in section.split("<tr>") if ">constant<" in row)
    assert chance.count("0.500<small>0.500 to 0.500</small>") == 2
    assert 'href="#choosing"' in page


def test_without_groups_there_is_no_section_on_choosing(runs: Path) -> None:
    ungrouped = replace(read_report(runs), choosing=None)
    assert "#choosing" not in report_page(ungrouped, thumbnail)


def test_without_a_pair_there_is_no_such_section(tmp_path: Path) -> None:
    page = write_report(make_runs(tmp_path, names=("ridge",), trained=False)).read_text()
    assert "Linear against neural" not in page
    assert "#contest" not in page


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
    assert "Use ridge" in answer
    assert re.search(r"a 95\u202f% interval of 0\.\d{3} to 0\.\d{3}", answer)
    assert "The floor has 0, the noise ceiling 0." in answer
    assert "beats its floor" in answer


def test_heads_that_cannot_be_told_apart_are_named(page: str) -> None:
    # Its predictions are a copy of the best head's.
    assert re.search(r"ridge.*cannot be told apart", page[: page.index("id=ranking")])


def test_a_head_that_does_not_beat_the_floor_is_not_recommended(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, replace(PLAN, noise=200.0), ("constant",), trained=False)
    assert "None of them yet" in write_report(runs).read_text()


def test_scores_without_votes_are_reported_too(tmp_path: Path) -> None:
    plan = Plan(levels=0, n_features=16)
    runs = make_runs(tmp_path, plan, ("constant", "ridge"), trained=False)
    text = write_report(runs).read_text()
    assert "scale 0 to 100, beautiful above 50" in text
    assert "None of these heads predicts a distribution" in text
    assert "how far people agree is not known" in text


def test_texts_from_caches_and_runs_add_nothing_to_the_page(page: str, tmp_path: Path) -> None:
    text = write_report(make_hostile_runs(tmp_path)).read_text()
    reader, benign = read(text), read(page)
    assert not reader.wrong
    assert elements(reader) <= elements(benign)
    assert len(reader.every("script")) == 1
    links = {(attributes.get("href") or "#")[:5] for _, attributes in reader.tags}
    assert all(link.startswith(("#", "data:")) for link in links)
    # They are shown as they are, but for what would be a line's end: the note, what the best run
    # says of itself, ids and names.
    nasty = visible(NASTY)
    assert f"Note: {nasty}" in reader.words["p"]
    assert nasty in reader.words["th"]
    assert any(words.startswith(f"Predicted best: {nasty}") for words in reader.words["figcaption"])
    assert any(nasty.replace("/", "") in words for words in reader.words["h3"] + reader.words["th"])


def elements(reader: Reader) -> set[tuple[str, str]]:
    """Return each element with each attribute that it has anywhere."""
    pairs = {(tag, name) for tag, attributes in reader.tags for name in attributes}
    return pairs | {(tag, "") for tag, _ in reader.tags}


def test_the_policy_lets_the_own_script_and_style_run_and_no_other(page: str) -> None:
    (policy,) = [a["content"] or "" for a in read(page).every("meta") if "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for tag in ("script", "style"):
        ((found,),) = [re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)]
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_photograph_that_is_gone_has_a_placeholder(page: str) -> None:
    reader = read(page)
    assert {"id": "gone", "class": "gone"} in reader.every("g")
    labels = [attributes.get("aria-label") for attributes in reader.every("svg")]
    assert f"photograph {GONE} (not found)" in labels


def test_a_run_without_the_metric_that_ranks_comes_last_and_is_compared_with_none(
    own: Path,
) -> None:
    forget_metric(own / "emd", "srcc")
    data = read_report(own)
    assert data.runs[-1].name == "emd"
    assert "emd" not in data.contests
    for name in ("constant", "ridge", "ridge-dist", "logistic"):
        forget_metric(own / name, "srcc")
    text = write_report(own).read_text()
    assert "None of them yet" in text
    assert not read(text).wrong
