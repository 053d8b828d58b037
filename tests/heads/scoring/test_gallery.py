"""A page that needs nothing else, and copies that sort by rank."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cache.errors import StorageError
from heads.cli.main import main
from heads.runs.loaded import Opinion
from heads.scoring.gallery import copy_ranked, write_gallery
from heads.scoring.ranking import folders, grouped, mark_near_duplicates, rank
from heads.scoring.records import Ranked, Scored
from heads.scoring.scorer import Scorer, open_scorer
from tests.browser import Page as Browser
from tests.browser import find_browser, open_browser
from tests.heads.studio import Studio, save_pictures

pytestmark = pytest.mark.usefixtures("cheap_engine")
# Scores of three items, of which the first is too close to call within half a point.
ITEMS = {"a": [5.0, 4.8, 3.0], "b": [4.9, 2.0], "c": [1.0]}
WALKED = ["a0.jpg", "a1.jpg", "a2.jpg", "b0.jpg", "b1.jpg", "c0.jpg"]
FOCUSED = "document.activeElement.closest('li a')?.querySelector('img').alt ?? ''"


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [attributes.get(attribute) or "" for name, attributes in self.tags if name == tag]


@pytest.fixture
def scorer(studio: Studio) -> Scorer:
    return open_scorer(studio.run("ridge"), studio.run("logistic"), weights=studio.weights)


def ranked(scorer: Scorer, paths: list[Path]) -> list[Ranked]:
    return mark_near_duplicates(rank(list(scorer.stream(paths))))


def items_of(folder: Path) -> list[Ranked]:
    """Photographs of `ITEMS`, each item in its folder."""
    photographs = []
    for name, scores in ITEMS.items():
        for path, score in zip(
            save_pictures(folder / name, range(len(scores))), scores, strict=True
        ):
            path = path.rename(path.with_name(f"{name}{path.name}"))
            opinion = Opinion(score, None, score / 5, 50.0, beautiful=True)
            photographs.append(Scored(str(path), (opinion, opinion), "", None))
    items = rank(photographs)
    return grouped(items, folders(items, {}), 0.5)


def test_a_gallery_is_one_file_with_every_photograph_in_ranked_order(
    scorer: Scorer, tmp_path: Path
) -> None:
    paths = save_pictures(tmp_path / "photos", range(10))
    items = ranked(scorer, paths)
    line = write_gallery(tmp_path / "page.html", items, scorer)
    assert "10 photographs" in line
    page = Page(tmp_path / "page.html")
    assert [tag for tag, _ in page.tags if tag in ("script", "iframe")] == []
    assert page.all("link", "href") == ["data:,"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.all("img", "src"))
    order = [Path(item.scored.path).name for item in items]
    assert page.all("img", "alt") == order
    assert [tmp_path / link for link in page.all("a", "href")] == [
        tmp_path / "photos" / name for name in order
    ]
    assert "://" not in (tmp_path / "page.html").read_text()
    assert list(tmp_path.glob(".page*")) == []


def test_a_gallery_follows_dark_mode_and_narrow_screens(scorer: Scorer, tmp_path: Path) -> None:
    write_gallery(tmp_path / "page.html", ranked(scorer, save_pictures(tmp_path, [1])), scorer)
    page = (tmp_path / "page.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width' in page
    assert "default-src 'none'; img-src data:" in page
    assert "script-src 'none'" in page


def test_names_cannot_write_html(scorer: Scorer, tmp_path: Path) -> None:
    (path,) = save_pictures(tmp_path / "photos", [1])
    nasty = path.with_name("\"'><script>b()<b>100% & more.jpg")
    path.rename(nasty)
    twin = nasty.with_name("<b>twin.jpg")
    twin.write_bytes(nasty.read_bytes())
    write_gallery(tmp_path / "page.html", ranked(scorer, [nasty, twin]), scorer)
    page = Page(tmp_path / "page.html")
    assert {"b", "script"}.isdisjoint(tag for tag, _ in page.tags)
    assert page.all("img", "alt") == [nasty.name, twin.name]
    assert f"nearly {nasty.name}" in page.text
    assert "100%25%20%26%20more" in page.all("a", "href")[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no Chromium here (apt-get install chromium)")
    with open_browser(find_browser() or "") as opened:
        yield opened


@pytest.mark.slow
def test_names_are_inert_in_a_browser(scorer: Scorer, tmp_path: Path, browser: Browser) -> None:
    (path,) = save_pictures(tmp_path / "photos", [1])
    nasty = path.rename(path.with_name('<script>hit=1<img src=x onerror="hit=1">\'.jpg'))
    write_gallery(tmp_path / "page.html", ranked(scorer, [nasty]), scorer)
    browser.show(390, dark=True)
    browser.open(tmp_path / "page.html")
    assert browser.console == []
    assert browser.value("typeof hit") == "undefined"
    assert browser.value("document.images.length") == 1
    assert browser.value("document.documentElement.scrollWidth") == 390
    # The page's own style holds under its policy, and the bar is as long as the percentile.
    bar = "document.querySelector('.bar').getBoundingClientRect()"
    filled = "document.querySelector('.bar rect').getBoundingClientRect()"
    assert browser.value(f"{bar}.height") == pytest.approx(4.8, abs=0.1)
    share = float(browser.value("document.querySelector('.bar title').textContent").split()[1])
    assert browser.value(f"100 * {filled}.width / {bar}.width") == pytest.approx(share, abs=0.1)


def test_groups_stand_one_after_another_each_with_its_best_first_and_its_rivals_marked(
    scorer: Scorer, tmp_path: Path
) -> None:
    write_gallery(tmp_path / "page.html", items_of(tmp_path), scorer)
    page = Page(tmp_path / "page.html")
    assert page.all("img", "alt") == WALKED
    assert page.all("h2", "title") == [str(tmp_path / name) for name in ITEMS]
    assert page.all("li", "class") == [" first", " rival", "", " first", "", ""]
    words = re.sub(r"\s+", " ", page.text)
    assert "6 photographs in 3 groups, the best first" in words
    for said in ("3 pictures, too close to call", "2 pictures 4.90#2", "1 picture 1.00#6"):
        assert said in words
    assert re.findall(r"4\.80#3 .*too close to the best to call 3\.00#4", words)
    assert words.count("too close to the best to call") == 1
    # Without JavaScript nothing speaks of keys that do nothing.
    assert [attributes for _, attributes in page.tags if "hidden" in attributes] == [
        {"id": "keys", "hidden": None}
    ]
    assert "script-src 'sha256-" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_arrow_keys_walk_from_photograph_to_photograph_and_from_group_to_group(
    scorer: Scorer, tmp_path: Path, browser: Browser
) -> None:
    write_gallery(tmp_path / "page.html", items_of(tmp_path), scorer)
    browser.show(390, dark=False)
    browser.open(tmp_path / "page.html")

    def pressed(key: str, modifiers: int = 0) -> str:
        event = {"type": "rawKeyDown", "key": f"Arrow{key}", "modifiers": modifiers}
        browser.call("Input.dispatchKeyEvent", event)
        return str(browser.value(FOCUSED))

    assert [pressed("Down"), pressed("Left")] == ["", ""]
    assert [pressed("Right") for _ in range(7)] == [*WALKED, WALKED[-1]]
    assert [pressed("Up") for _ in range(3)] == ["b0.jpg", "a0.jpg", "a0.jpg"]
    assert [pressed("Right"), pressed("Down"), pressed("Left")] == ["a1.jpg", "b0.jpg", "a2.jpg"]
    assert pressed("Left", modifiers=1) == "a2.jpg"  # Alt, which goes back in the history
    outline = "getComputedStyle(document.activeElement.closest('li')).outlineStyle"
    assert browser.value(outline) == "solid"
    assert browser.value("document.getElementById('keys').checkVisibility()")
    assert browser.console == []
    assert browser.value("document.documentElement.scrollWidth") == 390


def test_duplicates_are_marked_and_a_photograph_that_has_gone_has_a_placeholder(
    scorer: Scorer, tmp_path: Path
) -> None:
    paths = save_pictures(tmp_path, [1, 2, 3])
    twin = tmp_path / "twin.jpg"
    twin.write_bytes(paths[0].read_bytes())
    items = ranked(scorer, [*paths, twin])
    paths[1].unlink()
    write_gallery(tmp_path / "page.html", items, scorer)
    page = Page(tmp_path / "page.html")
    assert "nearly 1.jpg" in page.text
    assert page.all("li", "class").count("twin") == sum(bool(item.duplicate_of) for item in items)
    assert "not found" in page.text
    assert len(page.all("img", "src")) == 3


def test_copies_sort_by_rank_and_nothing_is_overwritten(scorer: Scorer, tmp_path: Path) -> None:
    items = ranked(scorer, save_pictures(tmp_path / "photos", range(12)))
    line = copy_ranked(tmp_path / "best", items)
    assert "12 photographs copied" in line
    copies = sorted((tmp_path / "best").iterdir())
    assert [re.sub(r"^\d\d_", "", copy.name) for copy in copies] == [
        Path(item.scored.path).name for item in items
    ]
    (tmp_path / "best" / copies[3].name).write_bytes(b"mine")
    copies[5].unlink()
    words = r"already there and is another file; nothing was copied.*--copy-to"
    with pytest.raises(StorageError, match=words):
        copy_ranked(tmp_path / "best", items)
    assert copies[3].read_bytes() == b"mine"
    assert not copies[5].exists()


def test_the_longest_name_is_copied_with_its_ending(scorer: Scorer, tmp_path: Path) -> None:
    (picture,) = save_pictures(tmp_path / "photos", range(1))
    long = picture.rename(picture.with_name("é" * 125 + picture.suffix))
    copy_ranked(tmp_path / "best", ranked(scorer, [long]))
    (copy,) = (tmp_path / "best").iterdir()
    assert copy.suffix == long.suffix
    assert copy.read_bytes() == long.read_bytes()


def test_copying_goes_on_where_it_was_and_copies_nothing_twice(
    scorer: Scorer, tmp_path: Path
) -> None:
    items = ranked(scorer, save_pictures(tmp_path / "photos", range(6)))
    copy_ranked(tmp_path / "best", items)
    copies = sorted((tmp_path / "best").iterdir())
    before = {copy: copy.stat().st_ino for copy in copies}
    copies[2].unlink()
    (tmp_path / "best" / f".{copies[2].name}.new.jpg").write_bytes(b"half of it")
    assert "6 photographs copied" in copy_ranked(tmp_path / "best", items)
    assert sorted((tmp_path / "best").iterdir()) == copies
    assert {c for c in copies if c.stat().st_ino != before[c]} <= {copies[2]}
    assert copies[2].read_bytes() == Path(items[2].scored.path).read_bytes()


def test_copies_are_made_where_permissions_cannot_be_set(
    scorer: Scorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.chmod", refuse)
    items = ranked(scorer, save_pictures(tmp_path / "photos", range(3)))
    copy_ranked(tmp_path / "best", items)
    assert len(list((tmp_path / "best").iterdir())) == 3
    assert capsys.readouterr().err == (
        f"{tmp_path / 'best'}: this file system offers no permissions and times to be set "
        "(Operation not permitted). Copies do not keep those of the photographs.\n"
    )


def test_a_photograph_that_has_gone_is_named_and_the_copies_so_far_are_kept(
    scorer: Scorer, tmp_path: Path
) -> None:
    items = ranked(scorer, save_pictures(tmp_path / "photos", range(3)))
    Path(items[1].scored.path).unlink()
    words = r"cannot be read any more: No such file or directory\. The copies so far are kept"
    with pytest.raises(StorageError, match=words):
        copy_ranked(tmp_path / "best", items)
    assert len(list((tmp_path / "best").iterdir())) == 1


def test_a_photograph_that_cannot_be_read_to_its_end_is_named_and_not_the_copy(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = ranked(scorer, save_pictures(tmp_path / "photos", range(2)))
    first = Path(items[0].scored.path)

    class Failing(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *a, **k: Failing() if path == first else opened(path, *a, **k)
    )
    with pytest.raises(StorageError, match=f"{first} cannot be read any more: Input/output error"):
        copy_ranked(tmp_path / "best", items)
    assert not list((tmp_path / "best").iterdir())


def test_the_command_writes_gallery_and_copies(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    for folder, numbers in (("a", [1, 2]), ("b", [3, 4])):
        save_pictures(photos / folder, numbers)
    page, best = tmp_path / "page.html", tmp_path / "best"
    words = ["score", str(studio.run()), str(photos), "--group-by", "folder"]
    words += ["--gallery", str(page), "--copy-to", str(best), "--weights", studio.weights]
    assert main(words) == 0
    assert len(Page(page).all("img", "src")) == 4
    assert "best of 2 in its group" in Page(page).text
    assert len(list(best.iterdir())) == 2
    assert "page.html: 4 photographs" in capsys.readouterr().err
    assert main([*words[:-4], "--weights", studio.weights, "--gallery", "/proc/no/page.html"]) == 1
    assert "cannot be written" in capsys.readouterr().err
