"""What was run can be repeated from the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from heads.models.linear import GROUPS, PenaltyChoice
from heads.models.neural.settings import BLOG, LEFT_OUT, ClosedFormSettings, NetworkSettings
from heads.report.data import RunData, read_report
from heads.report.run import is_usual, settings_words


def test_the_run_can_be_repeated_from_the_page(page: str, runs: Path) -> None:
    data = read_report(runs)
    file = runs.resolve() / "ridge" / "config.json"
    assert f"heads train --out again --config {file}\n" in page
    assert data.best.config.extractor.sha256 in page
    for facts in data.best.config.splits.values():
        assert facts.manifest_sha256 in page
    assert data.best.config.library_versions["numpy"] in page


def test_settings_are_named_where_they_are_not_the_defaults(runs: Path) -> None:
    named = {run.name: run for run in read_report(runs).runs}
    emd = named["emd"]
    assert is_usual(named["ridge"])

    def with_settings(settings: object) -> RunData:
        return replace(emd, config=replace(emd.config, settings=settings))

    single = replace(NetworkSettings(), ensemble=1)
    assert settings_words(with_settings(NetworkSettings())).startswith("the defaults (average of ")
    assert settings_words(with_settings(single)) == "ensemble 1"
    assert settings_words(with_settings(BLOG)) == "the blog's settings"
    other = replace(single, batch_size=7)
    assert settings_words(with_settings(other)) == "batch-size 7, ensemble 1"


def test_of_a_head_in_closed_form_it_is_said_what_its_penalty_was_chosen_on(runs: Path) -> None:
    named = {run.name: run for run in read_report(runs).runs}
    ridge, found = named["ridge"], named["ridge"].choice
    assert found is not None
    assert settings_words(ridge) == f"penalty {found.penalty:.2g}, chosen on {found.on}"
    on_groups = replace(ridge, choice=PenaltyChoice(0.25, (1.0, 0.25), (3.0, 2.0), GROUPS))
    assert settings_words(on_groups) == "penalty 0.25, chosen on groups of train"
    hard = ClosedFormSettings(labels="hard", penalty=LEFT_OUT)
    logistic = replace(on_groups.config, head="logistic", settings=hard)
    words = settings_words(replace(on_groups, config=logistic))
    assert words == 'labels "hard"; penalty 0.25, chosen on groups of train'
    assert settings_words(named["constant"]) == "none"
