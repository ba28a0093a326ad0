"""Homes for launches of their own. Nothing here uses the servers that other tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.embedded.session import erase


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path that any user can be let into. Removed with all its data."""
    path = Path(tempfile.mkdtemp(prefix="facet-test-"))
    yield path
    erase(path)


@pytest.fixture
def closed_home(tmp_path: Path) -> Iterator[Path]:
    """A home below a folder that only its owner may enter. Removed with all its data."""
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o700)
    yield parent / "home"
    erase(parent / "home")
