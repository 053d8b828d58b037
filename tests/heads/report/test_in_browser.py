"""The report in a real browser: no errors, no overflow, sorting, light, dark, print, no script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heads.report.write import write_report
from tests.browser import Page, find_browser, open_browser
from tests.heads.report.finished_runs import make_hostile_runs, make_runs

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here (apt-get install chromium)"),
]

RANKED = "[...document.querySelectorAll('table.ranking tbody tr')].map(r => r.cells[0].innerText)"
PRESS = "document.querySelectorAll('table.ranking thead button')[{}].click()"
COLOURS = "(({{color, backgroundColor}}) => [color, backgroundColor])(getComputedStyle({}))"
HIDDEN = """
[...document.querySelectorAll('svg use')].filter(u => u.getBoundingClientRect().width === 0
  && u.checkVisibility()).length
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_runs(tmp_path_factory.mktemp("browser")))


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_browser(PROGRAM or "") as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_silent_fits_and_asks_for_nothing(
    page: Page, report: Path, width: int, dark: bool
) -> None:
    page.show(width, dark=dark)
    page.open(report)
    assert page.console == []
    assert page.value("document.documentElement.scrollWidth") == width
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert set(asked) == {report.resolve().as_uri()}


def test_the_browser_would_tell_of_an_error(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<script>nonsense()</script><div style='width:5000px'>x</div>")
    page.show(390, dark=False)
    page.open(bad)
    assert "nonsense" in "".join(page.console)
    assert page.value("document.documentElement.scrollWidth") > 390
    page.console.clear()


def test_dark_mode_turns_the_page_dark(page: Page, report: Path) -> None:
    seen = []
    for dark in (False, True):
        page.show(1280, dark=dark)
        page.open(report)
        seen.append(page.value(COLOURS.format("document.body")))
    assert seen[0] == ["rgb(21, 24, 29)", "rgb(255, 255, 255)"]
    assert seen[1] == ["rgb(233, 235, 238)", "rgb(15, 18, 22)"]


def test_a_press_on_a_heading_sorts_and_a_second_one_turns_it_round(
    page: Page, report: Path
) -> None:
    page.show(1280, dark=False)
    page.open(report)
    page.value(PRESS.format(0))  # the heads by name
    names = page.value(RANKED)
    assert names == sorted(names)
    page.value(PRESS.format(0))
    assert page.value(RANKED) == names[::-1]
    page.value(PRESS.format(1))  # by SRCC, the best first
    assert page.value(RANKED)[-1] == "constant"
    sorts = "[...document.querySelectorAll('table.ranking th[aria-sort]')].map(t => t.ariaSort)"
    assert page.value(sorts) == ["descending"]


def test_without_script_all_of_it_is_there(page: Page, report: Path) -> None:
    page.show(1280, dark=False, script=False)
    page.open(report)
    counted = page.call("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    found = {
        name: len(
            page.call("DOM.querySelectorAll", {"nodeId": counted, "selector": name})["nodeIds"]
        )
        for name in ("table.ranking tbody tr", "svg.plot", "th button", "details summary")
    }
    page.show(1280, dark=False)
    assert found["table.ranking tbody tr"] == 5
    assert found["svg.plot"] > 20
    assert found["th button"] == 0
    assert found["details summary"] == 5


def test_every_photograph_takes_its_place(page: Page, report: Path) -> None:
    page.show(1280, dark=False)
    page.open(report)
    assert page.value("document.querySelectorAll('svg use').length") > 100
    assert page.value(HIDDEN) == 0


def test_it_can_be_printed_with_what_is_folded(page: Page, report: Path) -> None:
    page.show(1280, dark=True)
    page.open(report)
    assert page.pdf().startswith(b"%PDF")
    assert page.value("document.querySelectorAll('details:not([open])').length") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_texts_that_would_write_html_are_inert_and_fit(
    page: Page, tmp_path: Path, width: int
) -> None:
    page.show(width, dark=False)
    page.open(write_report(make_hostile_runs(tmp_path)))
    assert page.console == []
    assert page.value("typeof hit") == "undefined"
    assert page.value("document.title") != "hit"
    assert page.value("document.images.length") == 0
    assert page.value("document.documentElement.scrollWidth") == width


def test_the_policy_stops_a_script_that_got_into_the_page(
    page: Page, report: Path, tmp_path: Path
) -> None:
    text = report.read_text(encoding="utf-8")
    foreign = "<script>hit = 1</script><img src=x onerror='hit = 2'><p style='color:red'>"
    foreign += "<a id=link href='javascript:hit=3'>x</a>"
    (tmp_path / "report.html").write_text(text.replace("<main>", "<main>" + foreign))
    page.show(1280, dark=False)
    page.open(tmp_path / "report.html")
    page.value("document.getElementById('link').click()")
    assert page.value("typeof hit") == "undefined"
    assert (
        page.value("getComputedStyle(document.querySelector('main p')).color") != "rgb(255, 0, 0)"
    )
    assert page.value("document.querySelectorAll('table.ranking thead button').length") == 3
    assert "Content Security Policy" in "".join(page.console)
    page.console.clear()
