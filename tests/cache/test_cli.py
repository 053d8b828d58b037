"""The `cache` command: results on stdout, problems in one line on stderr, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.cli import main
from cache.verify import NOT_COVERED
from tests.helpers import small_cache

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound cache of 20 photographs."""
    return small_cache(tmp_path / "train.h5")


def damage(path: Path) -> None:
    """Change a feature of row 4."""
    with h5py.File(path, "r+") as file:
        file["features"][4, 0, 0] += 1


class TestVerify:
    def test_a_sound_file_is_called_sound(self, path: Path, capsys: Capture) -> None:
        assert main(["verify", str(path)]) == 0
        assert capsys.readouterr() == (
            f"{path}: sound, 20 rows checked.\n",
            f"{path}: {NOT_COVERED}\n",
        )

    def test_damage_is_shown_and_the_exit_code_is_1(self, path: Path, capsys: Capture) -> None:
        damage(path)
        assert main(["verify", str(path)]) == 1
        assert capsys.readouterr().out.splitlines() == [
            f"{path}: 1 with a wrong checksum (rows 4)",
            f"{path}: damaged. Extract or import it again with --overwrite.",
        ]

    def test_a_file_that_cannot_be_opened_does_not_hide_the_next(
        self, path: Path, capsys: Capture
    ) -> None:
        missing = path.with_name("val.h5")
        assert main(["verify", str(missing), str(path)]) == 1
        out, err = capsys.readouterr()
        assert out == f"{path}: sound, 20 rows checked.\n"
        assert err == (
            f"cache: There is no cache {missing}. Make it with `extract --split val`, or with "
            "`cache import` if its features were made elsewhere.\n"
            f"{path}: {NOT_COVERED}\n"
        )

    def test_json_holds_one_object_a_file_whatever_its_state(
        self, path: Path, capsys: Capture
    ) -> None:
        sound = small_cache(path.with_name("val.h5"), 3)
        missing = path.with_name("test.h5")
        damage(path)
        assert main(["verify", "--json", str(path), str(sound), str(missing)]) == 1
        out, err = capsys.readouterr()
        assert err == ""
        none = {"missing": 0, "unreadable": 0, "pending": 0}
        assert [json.loads(line) for line in out.splitlines()] == [
            {
                "path": str(path),
                "ok": False,
                "problems": [{"problem": "a wrong checksum", "count": 1, "first_rows": [4]}],
                "counts": {"rows": 20, "ok": 20, **none},
                "not_covered": NOT_COVERED,
            },
            {
                "path": str(sound),
                "ok": True,
                "problems": [],
                "counts": {"rows": 3, "ok": 3, **none},
                "not_covered": NOT_COVERED,
            },
            {
                "path": str(missing),
                "ok": False,
                "problems": [
                    {
                        "problem": f"There is no cache {missing}. Make it with "
                        "`extract --split test`, or with `cache import` if its features were made "
                        "elsewhere.",
                        "count": 0,
                        "first_rows": [],
                    }
                ],
                "counts": {},
                "not_covered": "",
            },
        ]

    def test_json_of_sound_files_alone_is_exit_code_0(self, path: Path, capsys: Capture) -> None:
        assert main(["verify", "--json", str(path)]) == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True


class TestManyFiles:
    @pytest.mark.parametrize("command", ["info", "verify"])
    def test_each_that_cannot_be_read_is_named_and_the_others_are_done(
        self, path: Path, capsys: Capture, command: str
    ) -> None:
        """Also a name of control characters, one that no file can have, and one of odd bytes."""
        odd = path.with_name(os.fsdecode(b"\x1b[31m\xff.h5"))
        long = path.with_name("x" * 300)
        shutil.copy(path, path.with_name(os.fsdecode(b"ok\xff.h5")))
        files = [odd, long, path.with_name(os.fsdecode(b"ok\xff.h5"))]
        assert main([command, *map(str, files)]) == 1
        out, err = capsys.readouterr()
        assert r"ok\xff.h5" in out
        first, second, *others = err.splitlines()
        assert all("No checksum covers" in line for line in others)
        assert first.startswith("cache: There is no cache ")
        assert r"/\x1b[31m\xff.h5. Make it" in first
        assert "File name too long" in second


class TestExport:
    def test_the_name_is_the_files_with_another_ending(self, path: Path, capsys: Capture) -> None:
        assert main(["export", str(path), "--to", "npz"]) == 0
        out = path.with_suffix(".npz")
        assert capsys.readouterr().out == f"{out}: 20 photographs.\n"
        with np.load(out) as arrays:
            assert arrays["features"].shape == (20, 1, 8)

    def test_it_does_not_replace_unless_asked(self, path: Path, capsys: Capture) -> None:
        command = ["export", str(path), "--to", "csv", "--out", str(path.with_name("a.csv"))]
        assert main(command) == 0
        assert main(command) == 1
        assert capsys.readouterr().err == (
            f"cache: {path.with_name('a.csv')} exists. Name another file with --out, or give "
            "--overwrite.\n"
        )
        assert main([*command, "--overwrite"]) == 0


class TestExitCodes:
    @pytest.mark.parametrize("command", ["info", "verify"])
    def test_a_problem_is_one_line_and_1(
        self, tmp_path: Path, capsys: Capture, command: str
    ) -> None:
        (tmp_path / "a.h5").write_bytes(b"no HDF5" * 1000)
        assert main([command, str(tmp_path / "a.h5")]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"cache: {tmp_path / 'a.h5'} cannot be read: it is no HDF5 file")
        assert err.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments",
        [[], ["mend"], ["info"], ["verify"], ["export", "a.h5"], ["export", "a", "--to", "xls"]],
    )
    def test_wrong_usage_is_2(self, capsys: Capture, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: cache" in capsys.readouterr().err

    def test_it_works_as_a_module_too(self, path: Path) -> None:
        damage(path)
        done = subprocess.run(
            [sys.executable, "-m", "cache", "verify", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "a wrong checksum" in done.stdout
        assert done.stderr == ""

    def test_a_reader_that_goes_away_is_no_traceback(self, path: Path) -> None:
        files = " ".join([str(path)] * 400)
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m cache info {files} | head -1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout.startswith("file ")
