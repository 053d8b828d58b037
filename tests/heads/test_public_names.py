"""The names that a notebook imports: they are there, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cache
import heads


@pytest.mark.parametrize("package", [cache, heads], ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_no_other(package: object) -> None:
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_importing_the_packages_loads_nothing_else() -> None:
    code = "import sys, cache, heads; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "h5py", "keras", "sklearn"} & set(done.stdout.split())
