"""What passes between the packages: frozen, checked once when made.

Owns the vocabulary (status, scale, extractor, rule of a split). Imports numpy and nothing of the
other packages.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import FormatError, LabelError
from cache.text import quoted, shown

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.str_]

# What photographs are parted into, in the order in which they are named.
SPLITS = ("train", "val", "test")
# The blog's and the papers' choice on AVA's scale, 1..10.
AVA_SCALE, AVA_THRESHOLD = (1.0, 10.0), "5"
# Far wider than any rating needs, and their squares and sums stay far from the ends of float64.
MAX_BOUND, MIN_WIDTH = 1e9, 1e-6
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# How the backbone's name of features begins that were made elsewhere, and what is said of the rest.
MAX_NAME = 100
EXTERNAL, NOT_KNOWN = "external: ", "not known"
DECIMAL_CHARACTERS = 400  # written without an exponent; every float64 fits


class Status(enum.IntEnum):
    """What became of a row's photograph; stored as uint8."""

    PENDING = 0
    OK = 1
    MISSING = 2
    UNREADABLE = 3


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes as 64 hexadecimal digits.

    What UTF-8 cannot hold counts as Python's escape of it.
    """
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def decimal_number(text: str) -> Decimal:
    """Return exactly the number that a text writes in plain digits, such as 5, -4.25 or 5e-3.

    Raises:
        ValueError: the text is anything else: nan, inf, other digits, blanks, 0_5 or 0,5.
    """
    if len(text) <= DECIMAL_CHARACTERS and DECIMAL.fullmatch(text):
        value = Decimal(text)
        if len(f"{value:f}") <= DECIMAL_CHARACTERS:
            return value
    raise ValueError("expected a decimal number in plain digits, such as 5 or 4.5")


def decimal_text(value: Decimal) -> str:
    """Return the one text of a number: without exponent, sign of zero or zeros at its end."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if value else "0"


def decimal_of(value: float) -> Decimal:
    """Return the shortest decimal that reads back as this number: as people wrote it."""
    return Decimal(repr(float(value)))


@dataclass(frozen=True)
class Scale:
    """The range of a mean score: 1..K for votes, the stated bounds for mean-only labels.

    Raises:
        LabelError: bounds that are not in order, too large to calculate with, or too close.
    """

    lo: float
    hi: float

    def __post_init__(self) -> None:
        if not (self.lo >= -MAX_BOUND and self.hi <= MAX_BOUND and self.hi - self.lo >= MIN_WIDTH):
            raise LabelError(
                f"A scale needs finite bounds lo < hi, from {-MAX_BOUND:g} to {MAX_BOUND:g} and at "
                f"least {MIN_WIDTH:g} apart; got {self.lo} and {self.hi}."
            )

    def __str__(self) -> str:
        return f"{self.lo:g}..{self.hi:g}"

    @property
    def usual_threshold(self) -> str:
        """The threshold of beautiful where nothing else is said: 5 on 1..10, else the middle."""
        if (self.lo, self.hi) == AVA_SCALE:
            return AVA_THRESHOLD
        return decimal_text((decimal_of(self.lo) + decimal_of(self.hi)) / 2)

    def threshold(self, text: str) -> str:
        """Return the one text of a threshold of beautiful on this scale.

        Raises:
            ValueError: it is no decimal number, or lies outside lo <= T < hi.
        """
        value = decimal_number(text)
        if not decimal_of(self.lo) <= value < decimal_of(self.hi):
            raise ValueError(f"it lies outside the scale {self.lo:g}..{self.hi:g}")
        return decimal_text(value)


@dataclass(frozen=True)
class ExtractorSpec:
    """Everything that decides the numbers in `features`; its SHA-256 is the fingerprint.

    `layers` maps a layer's name to its (start, stop) in the last axis of `features`. `views`
    names the second axis; view 0 is the unflipped centre, or everything. What is not known of
    features that were made elsewhere is said so: texts are NOT_KNOWN, sides 0, the SHA-256 that of
    the name.
    """

    backbone: str
    weights_sha256: str
    scaling: str
    decode: str
    resize: tuple[int, int]
    crop: tuple[int, int]
    interpolation: str
    views: tuple[str, ...]
    layers: tuple[tuple[str, int, int], ...]
    precision: str
    dtype: str

    def __post_init__(self) -> None:
        self._check_kinds()
        if not self.views or not self.layers:
            raise FormatError("An extractor needs at least one view and one layer.")
        stops = [0, *(stop for _, _, stop in self.layers)]
        if [start for _, start, _ in self.layers] != stops[:-1] or stops != sorted(set(stops)):
            raise FormatError(f"The layers' slices leave gaps or overlap: {shown(self.layers)}.")
        if self.dtype not in ("float16", "float32"):
            raise FormatError(f"Features are stored as float16 or float32, not {self.dtype}.")

    def _check_kinds(self) -> None:
        """Check what a file may have got wrong: names are texts, sides are two whole numbers."""
        texts = ("backbone", "weights_sha256", "scaling", "decode", "interpolation")
        named = {name: getattr(self, name) for name in (*texts, "precision", "dtype")}
        named |= {f"view {i}": view for i, view in enumerate(self.views)}
        for name, value in named.items():
            if not isinstance(value, str):
                raise FormatError(f"An extractor's {name} is text, not {quoted(value)}.")
        for name in ("resize", "crop"):
            sides = getattr(self, name)
            least = 0 if self.is_external else 1
            if len(sides) != 2 or not all(type(side) is int and side >= least for side in sides):
                raise FormatError(
                    f"An extractor's {name} is two numbers above 0, not {quoted(sides)}."
                )

    @classmethod
    def external(cls, name: str, n_views: int, n_features: int, dtype: str) -> ExtractorSpec:
        """Describe features that were made elsewhere, by what people call their maker.

        Raises:
            FormatError: the name is empty or no line of text.
        """
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
            raise FormatError(
                f"--extractor names what made the features, in at most {MAX_NAME} characters on "
                f"one line, such as clip-vit-b32; got {quoted(name)}."
            )
        return cls(
            backbone=EXTERNAL + name.strip(),
            weights_sha256=sha256_text(name.strip()),  # in place of the weights', which no one has
            scaling=NOT_KNOWN,
            decode=NOT_KNOWN,
            resize=(0, 0),
            crop=(0, 0),
            interpolation=NOT_KNOWN,
            views=tuple(f"view {i}" for i in range(n_views)),
            layers=(("vector", 0, n_features),),
            precision=NOT_KNOWN,
            dtype=dtype,
        )

    @property
    def is_external(self) -> bool:
        """Whether the features were made elsewhere, so that no photograph's can be made here."""
        return self.backbone.startswith(EXTERNAL)

    def made_by(self, split: str = "all") -> str:
        """Return the command that makes such features of a split, for remedies to name."""
        return "cache import" if self.is_external else f"extract --split {split}"

    @property
    def n_features(self) -> int:
        """D, the length of one feature vector."""
        return self.layers[-1][2]

    @property
    def sha256(self) -> str:
        """The fingerprint."""
        return sha256_text(canonical_json(self.to_dict()))

    def layer_slice(self, name: str) -> slice:
        """Return the slice of the last axis that holds the layer `name`."""
        for layer, start, stop in self.layers:
            if layer == name:
                return slice(start, stop)
        raise FormatError(
            f"No layer {name}; there are {shown([layer for layer, _, _ in self.layers])}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values (tuples become lists)."""
        values: dict[str, Any] = json.loads(canonical_json(asdict(self)))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ExtractorSpec:
        """Rebuild from `to_dict`.

        Raises:
            FormatError: a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise FormatError(
                f"An extractor's description has the fields {shown(sorted(names))}; "
                f"these differ: {shown(sorted(names ^ set(values)))}."
            )
        plain = dict(values)
        for name in ("resize", "crop", "views"):
            plain[name] = tuple(plain[name])
        plain["layers"] = tuple((str(n), int(a), int(b)) for n, a, b in plain["layers"])
        return cls(**plain)

    def differences(self, other: ExtractorSpec) -> list[tuple[str, Any, Any]]:
        """Return (field, mine, theirs) for each field in which two extractors differ."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [(name, mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]]


class SplitKind(enum.StrEnum):
    """By what photographs were split; stored as text beside the rule in words."""

    OFFICIAL = "official"
    COLUMN = "column"
    COLUMN_WITHOUT_VAL = "column-without-val"
    HASH = "hash"
    OTHER = "other"

    @classmethod
    def of_words(cls, rule: str) -> SplitKind:
        """Tell the kind from the rule in words, for files that were written without the kind."""
        for words, kind in (
            ("the official test list", cls.OFFICIAL),
            ("a split column, val by hash", cls.COLUMN_WITHOUT_VAL),
            ("a split column", cls.COLUMN),
            ("hash", cls.HASH),
        ):
            if rule.startswith(words):
                return kind
        return cls.OTHER


_KINDS: dict[str, tuple[type, ...]] = {
    **{"str": (str,), "int": (int,), "float": (int, float)},
    "SplitKind": (SplitKind,),
}


@dataclass(frozen=True)
class SplitRule:
    """How the rows of one file were chosen from the labelled photographs.

    `kind` is for programs, `rule` says the same to people. A file may hold one of several shards of
    a split: consecutive rows of it, `shard` of `shards`.

    Raises:
        FormatError: a field is of another kind.
    """

    split: str
    rule: str
    seed: int
    val_fraction: float
    test_fraction: float
    limit: int
    shard: int = 1
    shards: int = 1
    kind: SplitKind = SplitKind.OTHER

    def __post_init__(self) -> None:
        for each in fields(self):
            value, kind = getattr(self, each.name), _KINDS[str(each.type)]
            if not isinstance(value, kind) or isinstance(value, bool):
                raise FormatError(f"The {each.name} of a split's rule cannot be {quoted(value)}.")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values of all but `kind`.

        They enter the manifest's SHA-256, which has to stay that of files without a kind.
        """
        values = asdict(self)
        del values["kind"]
        return values
