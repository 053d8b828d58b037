"""The comparison of heads as text for people and as CSV for programs."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache.types import Scale
from heads.data.predictions import Prediction
from heads.experiments.compare import Comparison, Entry, Title
from heads.experiments.contests import Cost, against
from heads.metrics.bootstrap import Verdict
from heads.metrics.comparison import Sample, deviations, mean_sample, measure
from heads.metrics.reliability import choice_ceiling
from heads.report import leaderboard
from heads.report.leaderboard import best_first, csv_columns, table, write_csv
from tests.heads.made import (
    constant_prediction,
    in_groups,
    labels_of_means,
    noisy_prediction,
    random_labels,
)

N = 120
TRUTH = random_labels(N, levels=5)
GUESS = noisy_prediction(TRUTH, 0.15)
FLOOR = Sample.of(constant_prediction(TRUTH), TRUTH)
GOOD = Sample.of(GUESS, TRUTH)
ROUGH = noisy_prediction(TRUTH, 0.6)
RANKER = Sample.of(Prediction(ROUGH.score, ROUGH.p_beautiful, ranking_only=True), TRUTH)


def entry(head: str, sample: Sample) -> Entry:
    """Return a row of the comparison."""
    return Entry(head, f"runs/{head}", sample, measure(sample, FLOOR), 600)


ENTRIES = [entry("emd", GOOD), entry("constant", FLOOR), entry("logistic", RANKER)]
TITLE = Title("features", "test", "3", "", N, "600", groups=0)


def render(title: Title, entries: list[Entry]) -> str:
    """Return the text of a comparison."""
    return leaderboard.render(Comparison(title, Path("runs"), tuple(entries)))


def test_the_text_gives_the_noise_ceiling_and_the_order_within_challenges() -> None:
    known = replace(TRUTH, challenge=np.repeat(np.arange(1, 5), N // 4).astype(np.int32))
    rows = [entry("emd", Sample.of(GUESS, known)), *ENTRIES[1:]]
    text = render(TITLE, rows)
    assert "Noise ceiling: even the true means would correlate with these votes by srcc 0." in text
    assert "Within challenges, srcc: emd 0.9" in text
    assert "Mean and standard deviation" not in text


def test_what_metadata_alone_ranks_at_is_said_and_what_follows_where_it_ranks() -> None:
    sample = Sample.of(noisy_prediction(TRUTH, 0.6), TRUTH)
    srcc = measure(sample, FLOOR)["srcc"]
    text = " ".join(render(TITLE, [*ENTRIES, entry("metadata", sample)]).split())
    said = f"Photographs' metadata alone, srcc: metadata {srcc.value:.3f} [{srcc.lo:.3f}, "
    assert f"{said}{srcc.hi:.3f}]. What other heads gain on 0 they may partly owe to the" in text
    nothing = " ".join(render(TITLE, [*ENTRIES, entry("challenge-mean", FLOOR)]).split())
    assert "metadata alone, srcc: challenge-mean 0.000 [0.000, 0.000]. Within" not in nothing
    assert "metadata alone, srcc: challenge-mean 0.000 [0.000, 0.000]. Against" in nothing
    assert "metadata alone" not in render(TITLE, ENTRIES)


def test_choosing_within_groups_stands_beside_chance_and_the_halves_of_the_votes() -> None:
    known = in_groups(TRUTH, 3)
    samples = [Sample.of(each, known) for each in (GUESS, constant_prediction(TRUTH))]
    heads = zip(("emd", "constant"), samples, strict=True)
    rows = [Entry(h, h, sample, measure(sample, samples[1]), 600) for h, sample in heads]
    text = render(TITLE, rows)
    block = text[text.index("Choosing within groups, ") :].split("\n\n")[0]
    assert f"40 of two or more; {choice_ceiling(known, 0).n_told} of their 120 pairs have" in block
    lines = block[block.index("pair_acc") :].splitlines()
    assert lines[2].split() == [*("constant", "0.500", "[0.500,", "0.500]"), *lines[2].split()[4:]]
    value, (lo, hi) = rows[0].measures["regret"].value, samples[0].bootstrap.intervals()["regret"]
    assert lines[3].startswith("emd")
    assert lines[3].endswith(f"{value:.3f} [{lo:.3f}, {hi:.3f}]")
    assert lines[4].startswith("half of the votes")
    assert max(map(len, lines)) <= 120
    assert "Choosing" not in render(TITLE, ENTRIES)


def test_the_noise_ceiling_names_what_it_leaves_out_and_may_be_unknown() -> None:
    one_vote = np.eye(5, dtype=np.int32)[np.arange(N) % 5]
    some = replace(TRUTH, votes=np.where(np.arange(N)[:, None] < 7, one_vote, TRUTH.votes))
    text = render(TITLE, [entry("emd", Sample.of(GUESS, some))])
    assert "each other; without 7 photographs that have one vote)" in " ".join(text.split())
    none = replace(TRUTH, votes=one_vote)
    text = render(TITLE, [entry("emd", Sample.of(GUESS, none))])
    assert "ceiling" not in text


def test_several_runs_of_a_head_show_their_deviation(tmp_path: Path) -> None:
    samples = [GOOD, Sample.of(noisy_prediction(TRUTH, 0.4), TRUTH)]
    mean, spread = mean_sample(samples), deviations(samples)
    both = Entry("emd", "runs/emd", mean, measure(mean, FLOOR), 600, spread, 2)
    assert "emd, 2 runs: srcc" in render(TITLE, [both, *ENTRIES[1:]])
    write_csv(tmp_path / "leaderboard.csv", [both, *ENTRIES[1:]])
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = {row["head"]: row for row in csv.DictReader(file)}
    assert float(rows["emd"]["srcc_sd"]) == spread["srcc"]
    assert (rows["emd"]["repeats"], rows["logistic"]["srcc_sd"]) == ("2", "")


def test_the_floor_comes_first_then_the_highest_srcc() -> None:
    assert [e.head for e in best_first(ENTRIES)] == ["constant", "emd", "logistic"]
    # An order that is undefined counts as 0, wherever it stands before.
    undefined = [entry(name, FLOOR) for name in ("mean-ratings", "metadata")]
    mixed = [undefined[0], ENTRIES[1], undefined[1], *ENTRIES[2:], ENTRIES[0]]
    ordered = [e.head for e in best_first(mixed)]
    assert ordered == ["constant", "emd", "logistic", "mean-ratings", "metadata"]


def test_the_table_is_aligned_and_fits_120_columns() -> None:
    lines = table(best_first(ENTRIES)).splitlines()
    assert max(map(len, lines)) <= 120
    header, _, first, second, third = lines
    assert first.startswith("constant = floor")
    for name in ("plcc", "bal_acc", "spread"):
        end = header.index(name) + len(name)
        assert second[end - 5 : end].strip().replace(".", "").isdigit()
    end = header.index("mse") + 3
    assert third[end - 5 : end].strip() == ""
    assert third[header.index("emd_r2") : header.index("emd_r2") + 6].strip() == ""


def test_a_wide_scale_still_fits_120_columns() -> None:
    means = labels_of_means(TRUTH.mean * 1000, "3000", Scale(0, 5000))
    flat = Prediction(np.full(N, 3000.0), np.full(N, 0.5), label_by_p=True)
    sample = Sample.of(flat, means)
    wide = [Entry("constant", "runs/constant", sample, measure(sample, sample), 9)]
    assert max(map(len, table(wide).splitlines())) <= 120


def test_the_text_names_data_threshold_floor_and_verdicts() -> None:
    text = render(TITLE, ENTRIES)
    assert f"features: {N} photographs of test, trained on 600" in text
    assert "beautiful means a mean above 3." in text
    assert "  emd: beats its floor in srcc, plcc, mse, mae, emd_r2" in text
    assert "  constant:" not in text
    assert "Note:" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_text_says_what_does_not_beat_the_floor() -> None:
    reversed_scores = Prediction(6 - TRUTH.mean, 1 - GUESS.p_beautiful)
    text = render(TITLE, [entry("ridge", Sample.of(reversed_scores, TRUTH)), ENTRIES[1]])
    (line,) = (line for line in text.splitlines() if line.startswith("  ridge:"))
    assert f"{Verdict.DOES_NOT.words} in srcc, plcc, mse" in line


def test_the_first_head_is_set_against_the_others() -> None:
    text = render(TITLE, ENTRIES)
    rest = text[text.index("emd, the first of this table, against the others") :]
    assert "logistic: srcc +0." in rest
    assert "emd is better" in rest
    assert "against the others" not in render(TITLE, ENTRIES[:2])


def test_a_network_stands_against_its_linear_rival_with_what_it_bought() -> None:
    costs = Cost(2.04, 3_961_999), Cost(0.31, 36_400)
    rough = Sample.of(ROUGH, TRUTH)
    rows = [
        replace(entry("emd", GOOD), cost=costs[0]),
        replace(entry("ridge-dist", rough), cost=costs[1]),
        entry("logistic", RANKER),
    ]
    text = " ".join(render(TITLE, [*rows, ENTRIES[1]]).split())
    section = text[text.index("Linear against neural: ") :]
    assert "emd against ridge-dist: srcc +0." in section
    assert section.count("emd is better") == 2
    values = [rough.bootstrap.values, GOOD.bootstrap.values]
    assert "bought srcc {:.3f} to {:.3f} and emd_r2".format(*(v["srcc"] for v in values)) in section
    assert "for 2.0 s instead of 0.3 s a fit and 3,962 kB instead of 36 kB of model" in section
    assert "Linear against neural" not in render(TITLE, rows[1:])


def test_a_network_that_is_not_ahead_bought_nothing_that_shows() -> None:
    rows = [entry("sigmoid", GOOD), entry("ridge", GOOD), ENTRIES[1]]
    text = " ".join(render(TITLE, rows).split())
    assert "sigmoid against ridge: srcc +0.000 [+0.000, +0.000] the data cannot tell them" in text
    assert "bought nothing that these photographs show, for not measured instead of" in text


def test_all_layers_stand_against_the_last_one() -> None:
    layers = {"ridge": against(("multi", GOOD), ("top", RANKER))}
    text = leaderboard.render(Comparison(TITLE, Path("runs"), tuple(ENTRIES), layers=layers))
    rest = text[text.index("All layers (multi) against the last one (top)") :]
    assert "ridge: srcc +0." in rest
    assert "multi is better" in rest


def test_a_remark_on_the_labels_stands_on_top() -> None:
    title = Title("features", "test", "3", "votes are simulated", N, "600", groups=31)
    text = render(title, ENTRIES)
    assert text.startswith("Note: votes are simulated.")
    assert "whole groups, 31 of them); blank where a metric does not apply.\n" in text
    few = render(replace(title, groups=19), ENTRIES)
    assert "apply. Intervals of fewer than 20 groups come out too narrow.\n" in few


def test_the_leaderboard_file_has_every_metric_with_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    write_csv(path, ENTRIES)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == csv_columns()
    assert csv_columns()[-4:] == ["n", "n_train", "run", "features"]
    assert csv_columns()[:4] == ["head", "srcc", "srcc_lo", "srcc_hi"]
    assert [row["head"] for row in rows] == ["constant", "emd", "logistic"]
    assert [rows[0][f"srcc{end}"] for end in ("", "_lo", "_hi")] == ["0.0", "0.0", "0.0"]
    assert float(rows[1]["srcc"]) == GOOD.bootstrap.values["srcc"]
    assert float(rows[1]["srcc_lo"]) < float(rows[1]["srcc"]) < float(rows[1]["srcc_hi"])
    assert rows[2]["mse"] == rows[2]["mse_lo"] == ""
    assert json.loads(rows[1]["confusion"]) == GOOD.bootstrap.values["confusion"]
    assert not any(math.isnan(float(v)) for v in rows[1].values() if v.replace(".", "").isdigit())
    assert [p.name for p in tmp_path.iterdir()] == ["leaderboard.csv"]


def test_no_cell_of_the_leaderboard_file_is_a_formula(tmp_path: Path) -> None:
    one = replace(entry("ridge", GOOD), run="=HYPERLINK(1)")
    write_csv(tmp_path / "a.csv", [one, entry(os.fsdecode(b"@caf\xe9"), GOOD)])
    with (tmp_path / "a.csv").open(newline="", errors="surrogateescape") as file:
        rows = {row["head"]: row for row in csv.DictReader(file)}
    assert rows["ridge"]["run"] == "'=HYPERLINK(1)"
    assert os.fsdecode(b"'@caf\xe9") in rows
    assert float(rows["ridge"]["srcc"]) == one.measures["srcc"].value
