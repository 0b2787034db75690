"""Fixtures of the functional tests: a user of their own, an index of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.index import SimpleIndex
from tests.support.sandbox import Sandbox, network_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def index() -> Iterator[SimpleIndex]:
    with SimpleIndex() as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path, index: SimpleIndex) -> Iterator[Sandbox]:
    user = Sandbox(tmp_path / "user", index=index.url)
    yield user
    user.close()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Sandbox]:
    """A user of the package index that is reached from here."""
    user = Sandbox(tmp_path / "user")
    user.environ |= network_settings()
    yield user
    user.close()
