"""Texts from outside: harmless where people look, exact where programs do."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from cache.text import (
    LONGEST_LINE,
    CsvLines,
    harmless_cell,
    kept_name,
    path_named,
    quoted,
    shown,
    shown_lines,
    visible,
)
from cache.types import Scale

BYTES = b"caf\xe9\x1b[31m.jpg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("a\u2028b\u200b\ufeff", r"a\u2028b\u200b\ufeff"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_steers_a_terminal_or_hides_text_is_shown_escaped(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert shown(shown(text)) == expected


def test_letters_signs_and_joined_emoji_of_all_scripts_are_shown_as_they_are() -> None:
    text = "Größe 写真 ± – « » क्‍ष 👩‍🎨 back\\slash"
    assert shown(text) == visible(text) == text


def test_what_is_long_loses_its_middle_and_says_how_much() -> None:
    assert shown("x" * 300) == "x" * 300
    assert shown("x" * 10_000) == f"{'x' * 150}[... 9,700 more ...]{'x' * 150}"
    word = shown(f"a {'x' * 10_000} b", LONGEST_LINE)
    assert word == f"a {'x' * 150}[... 9,700 more ...]{'x' * 150} b"
    line = shown("word " * 1_000_000, LONGEST_LINE)
    assert line.startswith("word word")
    assert "[... 4,998,000 more ...]" in line
    assert len(line) < 2100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("center", "flip"), "center, flip"),
        ([["top", 0, 1280]], "top, 0, 1280"),
        ({"numpy": "2.1", "h5py": 3}, "numpy 2.1, h5py 3"),
        (None, "none"),
        (Scale(1, 9.5), "1..9.5"),
        (np.float64(0.5), "0.5"),
        (KeyError("votes"), "'votes' is missing"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (OSError("truncated"), "truncated"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_values_and_errors_are_words_and_not_pythons_spelling(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_a_quotation_is_short_and_shows_odd_blanks() -> None:
    assert quoted("a\n\x1b[31m\xa0") == r"'a\n\x1b[31m\xa0'"
    assert quoted("x" * 10**6) == f"'{'x' * 20}[... 999,960 more ...]{'x' * 20}'"
    assert quoted(os.fsdecode(b"caf\xe9")) == r"'caf\xe9'"


def test_our_own_lines_stay_lines() -> None:
    assert shown_lines("a\x1b\nb\t") == "a\\x1b\nb\\t"
    assert visible("a\x1b\nb" + "x" * 5000) == "a\\x1b\nb" + "x" * 5000


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(start: str) -> None:
    assert harmless_cell(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1e-05", "-inf", "", "emd", "a=b", 5, None, -2.5])
def test_numbers_and_plain_texts_stay_as_they_are(cell: object) -> None:
    assert harmless_cell(cell) == cell


def test_a_name_comes_back_from_files_byte_for_byte() -> None:
    for name in (BYTES, "é.jpg".encode(), b"a\nb", b"\xff\xfe"):
        assert os.fsencode(path_named(kept_name(os.fsdecode(name)))) == name
        assert os.fsencode(path_named(name)) == name
    assert kept_name("é.jpg") == "é.jpg"


def test_files_call_a_name_the_same_in_every_locale() -> None:
    program = (
        "import os, sys; from cache.text import kept_name, path_named\n"
        "assert sys.getfilesystemencoding() == 'ascii' or sys.argv[2] == 'utf-8'\n"
        "assert ascii(kept_name(sys.argv[1])) == r\"'\\xe9'\"\n"
        "assert os.fsencode(path_named(b'\\xc3\\xa9'.decode())) == b'\\xc3\\xa9'\n"
    )
    for encoding, settings in {"ascii": {"PYTHONUTF8": "0"}, "utf-8": {"PYTHONUTF8": "1"}}.items():
        environment = os.environ | settings | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
        subprocess.run([sys.executable, "-c", program, "é", encoding], env=environment, check=True)


def test_names_with_line_breaks_of_all_kinds_stay_in_their_rows() -> None:
    rows = [["a\rb.jpg", "c\r\n"], ["d\ne", 'f"g,'], ["plain", ""]]
    file = io.StringIO(newline="")
    csv.writer(CsvLines(file)).writerows(rows)
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""))) == rows
    assert file.getvalue().endswith("\nplain,\n")
