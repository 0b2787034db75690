"""Where things lie, held against platformdirs, which the hook cannot import."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from virtual_sprawl import locations

ABSENT = ("XDG_CACHE_HOME", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ABSENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"XDG_CACHE_HOME": "/elsewhere/cache"},
        {"XDG_RUNTIME_DIR": "/run/user/1000"},
        {"XDG_CACHE_HOME": "/elsewhere/cache", "XDG_RUNTIME_DIR": "/run/user/1000"},
    ],
)
def test_linux_follows_platformdirs(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    theirs = Unix(locations.APPLICATION)
    assert locations.store_directory(os.environ) == theirs.user_cache_dir
    if "XDG_RUNTIME_DIR" in settings:
        assert locations.runtime_directory(os.environ) == theirs.user_runtime_dir


def test_macos_follows_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert locations.store_directory(os.environ) == MacOS(locations.APPLICATION).user_cache_dir


def test_without_a_runtime_directory_the_socket_lies_in_the_store() -> None:
    environ = {"HOME": "/home/user"}
    assert locations.socket_path(environ) == locations.store_directory(environ) + "/run/sock"
    assert locations.socket_paths(environ) == (locations.socket_path(environ),)


def test_the_store_is_always_looked_at_second() -> None:
    environ = {"HOME": "/home/user", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert locations.socket_paths(environ) == (
        f"/run/user/1/{locations.APPLICATION}/sock",
        locations.store_directory(environ) + "/run/sock",
    )


@pytest.mark.parametrize("name", ABSENT)
def test_relative_variables_are_ignored(name: str) -> None:
    environ = {"HOME": "/home/user", name: "relative"}
    assert locations.socket_path(environ) == locations.socket_path({"HOME": "/home/user"})


@pytest.mark.parametrize("home", [None, "", "relative", "~"])
def test_a_home_that_is_no_path_is_asked_of_the_password_database(home: str | None) -> None:
    environ = {} if home is None else {"HOME": home}
    assert locations.home_directory(environ) == pwd.getpwuid(os.getuid()).pw_dir
