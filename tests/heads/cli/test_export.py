"""`heads export`: it says how far the export is from the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heads.cli.main import main
from tests.heads.export.exported import loaded
from tests.heads.studio import save_pictures
from tests.wheel import needs_wheel


@needs_wheel
@pytest.mark.slow
def test_the_command_says_how_far_the_export_is_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("heads.runs.loaded.load_run", lambda path: loaded(tmp_path))
    save_pictures(tmp_path / "photos", range(2))
    words = ["export", "run", "--to", "keras", "--photos", str(tmp_path / "photos"), "--json"]
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["photographs"] == 2
    assert values["score_difference"] <= values["allowed"]
