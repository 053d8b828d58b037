"""What every head asks of its photographs before it learns."""

from __future__ import annotations

import pytest

from heads.errors import HeadError
from heads.models.base import need_photographs
from tests.heads.made import random_labels


def test_two_photographs_of_train_and_one_of_val_suffice() -> None:
    need_photographs("emd", random_labels(2))
    need_photographs("emd", random_labels(2), random_labels(1))


def test_too_few_photographs_are_refused_with_a_remedy() -> None:
    with pytest.raises(
        HeadError, match=r"emd needs at least 2 training photographs; got 1\..*--limit"
    ):
        need_photographs("emd", random_labels(1))
    with pytest.raises(HeadError, match=r"emd chooses or calibrates .*none\. .*--val-fraction"):
        need_photographs("emd", random_labels(2), random_labels(2).take(slice(0)))
