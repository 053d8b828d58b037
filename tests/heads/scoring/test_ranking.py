"""The best first, near-duplicates behind the better one, items with their best picture."""

from __future__ import annotations

import numpy as np

from heads.runs.loaded import Opinion
from heads.scoring.ranking import folders, grouped, listed, mark_near_duplicates, near, rank
from heads.scoring.records import Scored


def scored(path: str, score: float, *features: float) -> Scored:
    opinion = Opinion(score, None, score / 10, 50.0, beautiful=True)
    return Scored(path, (opinion,), "", np.array(features or (1.0, 0.0), np.float32))


def test_the_best_stand_first_and_failures_nowhere() -> None:
    failed = Scored("bad", (), "empty", None)
    ranked = rank([scored("b", 2), failed, scored("a", 3), scored("c", 2)])
    assert [item.scored.path for item in ranked] == ["a", "b", "c"]


def test_a_near_duplicate_names_the_better_photograph() -> None:
    photographs = [
        scored("copy", 2, 1.0, 0.1),
        scored("best", 3, 1.0, 0.0),
        scored("other", 1, 0.0, 1.0),
        scored("worse copy", 0, 1.0, 0.2),
    ]
    marked = mark_near_duplicates(rank(photographs))
    assert {item.scored.path: item.duplicate_of for item in marked} == {
        **{"best": "", "copy": "best", "other": "", "worse copy": "best"}
    }
    assert mark_near_duplicates([]) == []


def test_near_duplicates_are_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1500, 64))
    photographs = [scored(f"p{i}", -float(i), *vector) for i, vector in enumerate(vectors)]
    photographs.append(scored("copy", -9999.0, *(vectors[3] + 0.01)))
    marked = mark_near_duplicates(rank(photographs))
    assert [item.scored.path for item in marked if item.duplicate_of] == ["copy"]
    assert marked[-1].duplicate_of == "p3"


def test_each_folder_names_its_best_picture() -> None:
    photographs = [scored("x/1.jpg", 1), scored("x/2.jpg", 2), scored("y/3.jpg", 0)]
    ranked = rank(photographs)
    items = grouped(ranked, folders(ranked, {}))
    assert [(item.scored.path, item.group, item.group_size, item.best) for item in items] == [
        ("x/2.jpg", "x", 2, True),
        ("x/1.jpg", "x", 2, False),
        ("y/3.jpg", "y", 1, True),
    ]


def test_near_copies_are_named_after_their_best_and_a_photograph_alone_after_itself() -> None:
    burst = [scored("x/1", 1, 1.0, 0.2), scored("y/2", 3, 2.0, 0.0), scored("x/3", 2, 3.0, 0.3)]
    ranked = rank([*burst, scored("x/4", 5, 0.0, 1.0), scored("y/5", 0, -1.0, 0.0)])
    assert dict(zip((item.scored.path for item in ranked), near(ranked, {}), strict=True)) == {
        **{"x/4": "x/4", "y/2": "y/2", "x/3": "y/2", "x/1": "y/2", "y/5": "y/5"}
    }
    assert near([], {}) == []


def test_photographs_without_a_group_in_a_list_are_items_of_their_own() -> None:
    ranked = rank([scored("x/1", 1), scored("x/2", 3), scored("y/3", 2)])
    groups = {"x/1": "chair", "y/3": "chair", "z/4": "table"}
    assert listed(ranked, groups) == ["x/2", "chair", "chair"]


def test_pictures_within_the_difference_of_the_best_are_too_close_to_call() -> None:
    scores = {"x/1": 5.0, "x/2": 4.5, "x/3": 4.4, "y/4": 3.0, "y/5": 1.0, "z/6": 2.0}
    ranked = rank([scored(path, score) for path, score in scores.items()])
    items = grouped(ranked, folders(ranked, {}), apart=0.5)
    close = {item.scored.path: item.too_close for item in items}
    assert close == {
        **{"x/1": True, "x/2": True, "x/3": False, "y/4": False, "y/5": False, "z/6": False}
    }
    unknown = grouped(ranked, folders(ranked, {}))
    assert {item.too_close for item in unknown} == {None}
    # Any names will do, such as those of a list.
    (best,) = (item for item in grouped(ranked, ["all"] * 6, 0.1) if item.best)
    assert (best.scored.path, best.group_size, best.too_close) == ("x/1", 6, False)
