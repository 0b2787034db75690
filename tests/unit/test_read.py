from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import LockError
from sprawld.lockfiles.formats import recognise
from sprawld.lockfiles.read import LockCache, read_lock
from tests.support.locks import PLAIN, linux, names, package, uv_lock, write

APP = uv_lock(package("app", source='virtual = "."'))


class Opened:
    """Remembers the files that this process opens while it is watched."""

    def __init__(self) -> None:
        self._names: list[str] | None = None
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Give the list of names, which grows."""
        self._names = names = []
        try:
            yield names
        finally:
            self._names = None

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._names is not None and event in ("open", "os.open", "os.listdir", "os.scandir"):
            self._names.append(str(arguments[0]))


OPENED = Opened()


def age(*paths: Path) -> None:
    """Wait until the last change of these files is old enough for the cache to believe what was read."""
    for path in paths:
        while path.stat().st_ctime_ns + 60_000_000 > _clock(path):
            pass


def _clock(path: Path) -> int:
    """Now, by the clock of the file system: the status change of a file that was just touched."""
    probe = path.with_name(".clock")
    probe.write_bytes(b"")
    now = probe.stat().st_ctime_ns
    probe.unlink()
    return now


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("uv.lock", "uv"),
            ("tool.py.lock", "uv"),
            ("poetry.lock", "poetry"),
            ("pdm.lock", "pdm"),
            ("Pipfile.lock", "pipfile"),
            ("pylock.toml", "pylock"),
            ("pylock.dev.toml", "pylock"),
            ("requirements-dev.txt", "requirements"),
        ],
    )
    def test_names(self, name: str, expected: str) -> None:
        assert recognise(Path("/p") / name) == expected

    def test_each_format_has_a_reader_that_names_the_file(self, tmp_path: Path) -> None:
        for name in ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "requirements.txt"):
            path = write(tmp_path, name, b"\xff\xff broken")
            with pytest.raises(LockError) as caught:
                read_lock(path)
            assert caught.value.message.startswith(str(path))
            with pytest.raises(LockError) as caught:
                read_lock(tmp_path / "gone" / name)
            assert caught.value.code == "lock.not-found"

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "uv.lock", APP)
        monkeypatch.chdir(tmp_path)
        assert read_lock(Path("uv.lock")).path == tmp_path / "uv.lock"


READERS = ("uv", "poetry", "pdm", "pylock", "pipfile", "requirements", "script")


@pytest.mark.parametrize("name", READERS)
def test_a_reader_is_short_and_names_its_specification(name: str) -> None:
    reader = importlib.import_module(f"sprawld.lockfiles.{name}")
    assert "Specification: " in (reader.__doc__ or "")
    assert len(inspect.getsource(reader).splitlines()) <= 220


class TestCache:
    def test_an_unchanged_lock_is_read_once(self, tmp_path: Path) -> None:
        path = write(tmp_path, "uv.lock", APP)
        age(path)
        cache = LockCache()
        first = cache.get(path)
        assert cache.get(path) is first
        assert cache.statistics() == {"kept": 1, "reads": 1, "hits": 1}

    def test_reading_it_again_costs_a_stat_of_each_input(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, "uv.lock", APP)
        project = write(tmp_path, "pyproject.toml", '[project]\nname = "app"\n')
        age(path, project)
        cache = LockCache()
        lock = cache.get(path)
        stats: list[Path] = []
        stat = os.stat
        monkeypatch.setattr(os, "stat", lambda file, **options: stats.append(file) or stat(file, **options))
        with OPENED.watching() as opened:
            assert all(cache.get(path) is lock for _ in range(10))
        monkeypatch.undo()
        assert opened == []
        assert stats == [path, project] * 10
        assert cache.statistics() == {"kept": 1, "reads": 1, "hits": 10}
        # The counters count: another lock is opened.
        with OPENED.watching() as opened:
            read_lock(path)
        assert str(path) in opened

    def test_a_change_is_seen_even_with_the_old_size_and_time(self, tmp_path: Path) -> None:
        path = write(tmp_path, "uv.lock", APP)
        age(path)
        cache = LockCache()
        assert names(cache.get(path).select(linux(), PLAIN)) == ["app==1.0"]
        before = path.stat()
        path.write_text(APP.replace("1.0", "2.0"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert names(cache.get(path).select(linux(), PLAIN)) == ["app==2.0"]

    def test_the_project_file_counts_too(self, tmp_path: Path) -> None:
        path = write(tmp_path, "uv.lock", APP)
        age(path)
        cache = LockCache()
        assert cache.get(path).project.name is None
        write(tmp_path, "pyproject.toml", '[project]\nname = "app"\n')
        assert cache.get(path).project.name == "app"

    def test_a_lock_that_was_just_written_is_not_kept(self, tmp_path: Path) -> None:
        cache = LockCache()
        cache.get(write(tmp_path, "uv.lock", APP))
        assert cache.statistics()["kept"] == 0

    def test_members_are_kept_apart(self, tmp_path: Path) -> None:
        text = uv_lock(package("app", source='virtual = "."'), package("member", source='virtual = "m"'))
        path = write(tmp_path, "uv.lock", text)
        write(tmp_path, "m/pyproject.toml", '[project]\nname = "member"\n')
        age(path, tmp_path / "m/pyproject.toml")
        cache = LockCache()
        assert names(cache.get(path).select(linux(), PLAIN)) == ["app==1.0"]
        assert names(cache.get(path, tmp_path / "m").select(linux(), PLAIN)) == ["member==1.0"]
        assert cache.statistics()["kept"] == 2

    def test_it_is_bounded(self, tmp_path: Path) -> None:
        paths = [write(tmp_path, f"p{i}/uv.lock", APP) for i in range(5)]
        age(*paths)
        few, small = LockCache(locks=2), LockCache(size=len(APP) * 3)
        for path in paths:
            few.get(path)
            small.get(path)
        assert few.statistics()["kept"] == 2
        assert small.statistics()["kept"] == 3
        assert few.get(paths[-1]) is few.get(paths[-1])

    def test_an_error_is_not_kept(self, tmp_path: Path) -> None:
        path = write(tmp_path, "uv.lock", "broken")
        age(path)
        cache = LockCache()
        with pytest.raises(LockError):
            cache.get(path)
        path.write_text(APP)
        assert names(cache.get(path).select(linux(), PLAIN)) == ["app==1.0"]
