"""Docstrings, comments and documents name what exists, whatever has moved since."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

from tests.documents import OURS, PAGES, read

DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(OURS)})(?:\.[A-Za-z_]\w*)+")
UNDERSCORED = re.compile(r"`([a-z]\w*_\w*)`")
# Python's own.
OTHERS = {"add_note"}


@cache
def syntax(file: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


def modules(checkout: Path, *folders: str) -> list[Path]:
    """Return the modules in some folders."""
    return [path for folder in folders for path in sorted((checkout / folder).rglob("*.py"))]


def docstrings(file: Path) -> str:
    """Return a module's docstrings."""
    expressions = [node.value for node in ast.walk(syntax(file)) if isinstance(node, ast.Expr)]
    return "\n".join(
        node.value
        for node in expressions
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def comments(file: Path) -> str:
    """Return a module's comments."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline)
    return "\n".join(token.string for token in tokens if token.type == tokenize.COMMENT)


@cache
def names(file: Path, of: str = "") -> set[str]:
    """Return every name that a module, or a class of it, binds somewhere."""
    tree: ast.AST = syntax(file)
    if of:
        tree = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == of)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def exists(checkout: Path, name: str) -> bool:
    """Return whether a dotted name is that of a module or of something in one, by the files.

    `cache` is also what the documents call a cache that is open.
    """
    place, parts = checkout, name.split(".")
    if parts[0] == "cache" and parts[1] in names(checkout / "cache/store.py", "FeatureCache"):
        return True
    while parts and (place / parts[0] / "__init__.py").is_file():
        place /= parts.pop(0)
    file = place / "__init__.py"
    if parts and (place / f"{parts[0]}.py").is_file():
        file = place / f"{parts.pop(0)}.py"
    return names(file).issuperset(parts)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("heads.models.neural", True),
        ("heads.models.neural.network.LOSSES", True),
        ("extract.stream", True),
        ("cache.features", True),
        ("cache.files.exclusive", True),
        ("heads.experiments.fold_runs", False),
        ("heads.metrics.catalogue.score", False),
        ("cache.votes", False),
    ],
)
def test_a_name_is_there_or_it_is_not(name: str, there: bool, checkout: Path) -> None:
    assert exists(checkout, name) is there


@pytest.mark.parametrize("page", PAGES)
def test_every_dotted_name_in_a_document_exists(page: str, checkout: Path) -> None:
    # A block of `py` shows files that a reader would write.
    prose = re.sub(r"^```py\n.*?^```$", "", read(checkout, page), flags=re.MULTILINE | re.DOTALL)
    assert not [name for name in DOTTED.findall(prose) if not exists(checkout, name)]


def test_every_dotted_name_in_a_docstring_or_comment_exists(checkout: Path) -> None:
    gone = [
        f"{file.relative_to(checkout)}: {name}"
        for file in modules(checkout, *OURS, "tests")
        for name in DOTTED.findall(docstrings(file) + "\n" + comments(file))
        if not exists(checkout, name)
    ]
    assert not gone


def test_every_name_with_an_underscore_in_a_docstring_is_one_in_the_code(checkout: Path) -> None:
    known = OTHERS.copy()
    for file in modules(checkout, *OURS):
        for node in ast.walk(syntax(file)):
            known |= {str(getattr(node, field, "")) for field in ("id", "attr", "arg", "name")}
            if isinstance(node, ast.Constant):
                known.add(str(node.value))
    gone = [
        f"{file.relative_to(checkout)}: {name}"
        for file in modules(checkout, *OURS)
        for name in UNDERSCORED.findall(docstrings(file))
        if name not in known
    ]
    assert not gone
