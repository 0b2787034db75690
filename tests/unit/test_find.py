from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprawld.errors import LockError
from sprawld.lockfiles.find import Found, find_lock, no_lock
from sprawld.lockfiles.read import read_lock
from tests.support.locks import package, uv_lock, write

UV = uv_lock(package("app", source='editable = "."'))
POETRY = '[[package]]\nname = "a"\nversion = "1.0"\n'
PINNED = "a==1.0\n"
LOOSE = "a>=1.0\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory of one's own; what lies above it must never count."""
    write(tmp_path, "uv.lock", UV)
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def find(start: Path, home: Path, **options: Path) -> Found | None:
    return find_lock(start, home=home, **options)


def found(start: Path, home: Path, **options: Path) -> Found:
    result = find(start, home, **options)
    assert result is not None
    return result


def code_of(start: Path, home: Path, **options: Path) -> str:
    with pytest.raises(LockError) as caught:
        find(start, home, **options)
    return caught.value.code


def reasons(result: Found) -> dict[str, str]:
    return {item.path.name: item.reason for item in result.passed_over}


class TestUpwards:
    def test_the_nearest_directory_with_a_lock_counts(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        write(home, "uv.lock", UV)
        start = home / "p/src/app"
        start.mkdir(parents=True)
        assert found(start, home).lock == lock
        assert found(start, home).format == "uv"

    def test_nothing_above_home_is_looked_at(self, home: Path) -> None:
        start = home / "p"
        start.mkdir()
        assert find(start, home) is None
        assert find(home, home) is None
        # A start outside of it is another matter.
        (home.parent / "other").mkdir()
        assert found(home.parent / "other", home).lock == home.parent / "uv.lock"

    def test_the_search_starts_at_the_real_place(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        (home / "link").symlink_to(home / "p")
        assert found(home / "link", home).lock == lock

    def test_a_start_that_does_not_exist(self, home: Path) -> None:
        assert find(home / "gone", home) is None

    def test_the_search_does_not_cross_mounts(self, home: Path) -> None:
        proc = Path("/proc/self")
        if not proc.is_dir():
            pytest.skip("no /proc on this machine")
        assert find(proc, home) is None

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_the_search_does_not_cross_owners(self, home: Path) -> None:
        write(home, "uv.lock", UV)
        start = home / "shared/p"
        start.mkdir(parents=True)
        os.chown(home / "shared", 65_534, 65_534)
        assert find(start, home) is None

    def test_what_is_watched_tells_when_another_lock_would_count(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        start = home / "p/src"
        start.mkdir()
        watched = found(start, home).watched
        for name in ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"):
            assert start / name in watched
            assert lock.parent / name in watched
        assert len(set(watched)) == len(watched)

    def test_the_member_of_a_workspace(self, home: Path) -> None:
        write(home, "p/uv.lock", UV)
        write(home, "p/pyproject.toml", '[project]\nname = "app"')
        write(home, "p/libs/member/pyproject.toml", '[project]\nname = "member"')
        write(home, "p/libs/member/src/tool/pyproject.toml", "[tool.ruff]\nline-length = 100")
        result = found(home / "p/libs/member/src/tool", home)
        assert (result.lock, result.root) == (home / "p/uv.lock", home / "p/libs/member")
        assert found(home / "p/libs", home).root == home / "p"

    def test_a_broken_project_file_only_matters_beside_a_lock(self, home: Path) -> None:
        write(home, "p/uv.lock", UV)
        write(home, "p/tests/pyproject.toml", "broken = ")
        assert found(home / "p/tests", home).lock == home / "p/uv.lock"
        write(home, "p/pyproject.toml", "broken = ")
        with pytest.raises(LockError) as caught:
            find(home / "p", home)
        assert caught.value.code == "lock.syntax"
        assert "pyproject.toml" in caught.value.message


class TestNothingFound:
    """The message says how far the search went: a lock beyond the border is there, and does not count."""

    def test_the_home_directory(self, home: Path) -> None:
        start = home / "p"
        start.mkdir()
        error = no_lock(start, home=home)
        assert error.code == "lock.not-found"
        assert error.message == (
            f"no lockfile from {start} up to {home} (the search ends there: it is your home directory)"
        )
        assert "uv lock" in error.hint
        assert no_lock(home, home=home).message == (
            f"no lockfile in {home} (the search ends there: it is your home directory)"
        )

    def test_a_directory_that_everyone_can_write(self, home: Path) -> None:
        start = home / "open/p/src"
        start.mkdir(parents=True)
        (home / "open").chmod(0o1777)
        write(home, "open/uv.lock", UV)
        assert find(start, home) is None
        assert no_lock(start, home=home).message == (
            f"no lockfile from {start} up to {start.parent} "
            f"(the search ends there: every user can write {home / 'open'})"
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_a_directory_of_another_user(self, home: Path) -> None:
        start = home / "shared/p"
        start.mkdir(parents=True)
        os.chown(home / "shared", 65_534, 65_534)
        assert no_lock(start, home=home).message == (
            f"no lockfile in {start} (the search ends there: {home / 'shared'} belongs to another user)"
        )

    def test_another_file_system(self, home: Path) -> None:
        proc = Path("/proc/sys/fs")
        if not proc.is_dir() or proc.stat().st_dev == Path("/").stat().st_dev:
            pytest.skip("no /proc on this machine")
        assert "(the search ends there: / is on another file system)" in no_lock(proc, home=home).message

    def test_all_the_way_up(self, home: Path) -> None:
        start = Path("/usr") if os.geteuid() == 0 else Path("/")
        if find(start, home) is not None or Path("/usr").stat().st_dev != Path("/").stat().st_dev:
            pytest.skip("a machine with a lockfile in its root, or several file systems")
        assert no_lock(start, home=home).message == f"no lockfile in {start} or above it"

    def test_locks_that_were_passed_over(self, home: Path) -> None:
        project = '[project]\nname = "app"\ndependencies = ["a"]\n'
        write(home, "p/pyproject.toml", project)
        lock = write(home, "p/uv.lock", "version = 1\n")
        assert find(home / "p", home) is None
        message = no_lock(home / "p", home=home).message
        assert message.startswith(f"no usable lockfile from {home / 'p'} up to {home} ")
        assert message.endswith(
            f"; passed over: {lock}: it holds no packages, and the project has dependencies"
        )

    def test_a_script_that_needs_nothing(self, home: Path) -> None:
        write(home, "uv.lock", UV)
        script = write(home, "s.py", "# /// script\n# dependencies = []\n# ///\n")
        assert find(home, home, script=script) is None
        assert no_lock(home, script=script, home=home).message == (
            f"{script}: says that it needs no packages, and has no lock of its own"
        )

    def test_a_start_that_does_not_exist(self, home: Path) -> None:
        assert no_lock(home / "gone", home=home).message == f"no lockfile in {home / 'gone'}"


class TestSeveralLocks:
    def make(self, home: Path, pyproject: str, **locks: str) -> Found:
        write(home, "p/pyproject.toml", pyproject)
        for name, text in locks.items():
            write(home, f"p/{name.replace('__', '-').replace('_', '.')}", text)
        return found(home / "p", home)

    def test_the_order_where_nothing_tells(self, home: Path) -> None:
        names = ["pylock.toml", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"]
        names += ["requirements-frozen.txt", "requirements.txt"]
        for name in names:
            write(home, f"p/{name}", PINNED if name.endswith("txt") else "[[packages]]")
        for name in names:
            result = found(home / "p", home)
            assert result.lock.name == name
            assert all(f"{name} comes first" in reason for reason in reasons(result).values())
            result.lock.unlink()
        assert find(home / "p", home) is None

    @pytest.mark.parametrize(
        ("pyproject", "expected"),
        [
            ('[tool.poetry]\nname = "x"', "poetry.lock"),
            ('[build-system]\nbuild-backend = "poetry.core.masonry.api"', "poetry.lock"),
            ("[tool.pdm]\ndistribution = true", "pdm.lock"),
            ('[build-system]\nbuild-backend = "pdm.backend"', "pdm.lock"),
            ("[tool.uv]\npackage = false", "uv.lock"),
            ('[build-system]\nbuild-backend = "uv_build"', "uv.lock"),
            ('[project]\nname = "App"', "uv.lock"),
            ('[project]\nname = "other"', "pylock.toml"),
            ("", "pylock.toml"),
        ],
    )
    def test_the_project_file_tells(self, home: Path, pyproject: str, expected: str) -> None:
        result = self.make(
            home, pyproject, uv_lock=UV, poetry_lock=POETRY, pdm_lock=POETRY, pylock_toml="[[packages]]"
        )
        assert result.lock.name == expected
        assert len(result.passed_over) == 3

    def test_an_empty_lock_of_another_tool(self, home: Path) -> None:
        pyproject = '[tool.poetry.dependencies]\npython = "^3.8"\nrich = "*"\n[tool.uv]\n'
        result = self.make(home, pyproject, uv_lock="version = 1\n", poetry_lock=POETRY)
        assert result.lock.name == "poetry.lock"
        assert "no packages" in reasons(result)["uv.lock"]
        result.lock.unlink()
        assert find(home / "p", home) is None

    def test_an_empty_lock_of_a_project_without_dependencies(self, home: Path) -> None:
        assert self.make(home, '[tool.poetry.dependencies]\npython = "*"', uv_lock="version = 1\n")

    def test_an_export_of_pipenv(self, home: Path) -> None:
        result = self.make(
            home, "", pylock_toml='created-by = "pipenv"\n[[packages]]', Pipfile_lock='{"default": {}}'
        )
        assert result.lock.name == "Pipfile.lock"
        assert "pipenv" in reasons(result)["pylock.toml"]

    def test_an_export_of_requirements(self, home: Path) -> None:
        result = self.make(home, "", uv_lock=UV, requirements_txt=LOOSE)
        assert result.lock.name == "uv.lock"
        assert reasons(result) == {"requirements.txt": "uv.lock comes first"}


class TestRequirements:
    def test_pinned_ones_are_a_lock(self, home: Path) -> None:
        write(home, "p/requirements.txt", PINNED)
        assert found(home / "p", home).format == "requirements"

    def test_loose_ones_beside_frozen_ones(self, home: Path) -> None:
        write(home, "p/requirements.txt", LOOSE)
        lock = write(home, "p/requirements-frozen.txt", PINNED)
        assert found(home / "p", home).lock == lock

    def test_loose_ones_do_not_hide_a_lock_above(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        write(home, "p/docs/requirements.txt", LOOSE)
        result = found(home / "p/docs", home)
        assert result.lock == lock
        assert "requirements.txt" in reasons(result)

    def test_loose_ones_alone_are_named_so_that_their_reader_says_what_is_missing(self, home: Path) -> None:
        lock = write(home, "p/requirements.txt", LOOSE)
        assert found(home / "p", home).lock == lock
        with pytest.raises(LockError) as caught:
            read_lock(lock)
        assert caught.value.code == "lock.not-pinned"
        assert caught.value.hint


class TestScripts:
    BLOCK = "# /// script\n# dependencies = ['rich']\n# ///\nprint()\n"

    def test_a_script_with_metadata_never_uses_the_projects_lock(self, home: Path) -> None:
        write(home, "p/uv.lock", UV)
        script = write(home, "p/tool.py", self.BLOCK)
        assert code_of(home / "p", home, script=script) == "lock.not-found"
        with pytest.raises(LockError) as caught:
            find(home / "p", home, script=script)
        assert f"uv lock --script {script}" in caught.value.hint

    def test_its_own_locks(self, home: Path) -> None:
        script = write(home, "p/tool.py", self.BLOCK)
        second = write(home, "p/pylock.tool.toml", "")
        result = found(home / "p", home, script=script)
        assert (result.lock, result.format) == (second, "pylock")
        first = write(home, "p/tool.py.lock", uv_lock())
        result = found(home / "p", home, script=script)
        assert (result.lock, result.format) == (first, "uv")
        assert {script, first} <= set(result.watched)

    def test_a_lock_beside_a_script_without_metadata(self, home: Path) -> None:
        write(home, "p/uv.lock", UV)
        script = write(home, "p/tool.py", "print()\n")
        assert found(home / "p", home, script=script).lock.name == "uv.lock"
        write(home, "p/tool.py.lock", uv_lock())
        assert found(home / "p", home, script=script).lock.name == "tool.py.lock"

    def test_metadata_without_dependencies_needs_no_lock(self, home: Path) -> None:
        write(home, "p/uv.lock", UV)
        script = write(home, "p/tool.py", "# /// script\n# requires-python = '>=3.12'\n# ///\n")
        assert find(home / "p", home, script=script) is None

    def test_a_link_to_a_script_stands_for_it(self, home: Path) -> None:
        lock = write(home, "p/tool.py.lock", uv_lock())
        write(home, "p/tool.py", self.BLOCK)
        (home / "tool").symlink_to("p/tool.py")
        assert found(home, home, script=home / "tool").lock == lock

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            (BLOCK + BLOCK, "lock.invalid"),
            ("# /// script\n# dependencies = [\n# ///\n", "lock.syntax"),
            ("# /// script\n# dependencies = 'rich'\n# ///\n", "lock.invalid"),
        ],
    )
    def test_metadata_that_is_not_sound(self, home: Path, text: str, code: str) -> None:
        assert code_of(home / "p", home, script=write(home, "p/tool.py", text)) == code

    @pytest.mark.parametrize(
        "text",
        [
            "# /// script\n# dependencies = ['rich']\n",
            "# /// other\n# dependencies = ['rich']\n# ///\n",
            b"PK\x03\x04",
        ],
        ids=["unclosed", "another-type", "zip"],
    )
    def test_what_is_no_metadata(self, home: Path, text: str | bytes) -> None:
        lock = write(home, "p/uv.lock", UV)
        assert found(home / "p", home, script=write(home, "p/tool.py", text)).lock == lock

    def test_carriage_returns(self, home: Path) -> None:
        script = write(home, "p/tool.py", self.BLOCK.replace("\n", "\r\n"))
        assert code_of(home / "p", home, script=script) == "lock.not-found"


class TestExplicit:
    def test_a_named_lock_is_taken(self, home: Path) -> None:
        lock = write(home, "elsewhere/requirements-dev.txt", PINNED)
        write(home, "p/uv.lock", UV)
        script = write(home, "p/tool.py", TestScripts.BLOCK)
        result = found(home / "p", home, explicit=lock, script=script)
        assert (result.lock, result.format, result.watched) == (lock, "requirements", (lock,))

    def test_names_of_no_format(self, home: Path) -> None:
        for name in ("lock.yaml", "uv", "Cargo.toml"):
            assert code_of(home, home, explicit=write(home, name, "")) == "lock.unsupported"
        assert code_of(home, home, explicit=home / "gone.lock") == "lock.not-found"


class TestTrust:
    def test_directories_that_everyone_can_write(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        for mode in (0o777, 0o1777, 0o757):
            lock.parent.chmod(mode)
            assert code_of(home / "p", home) == "lock.world-writable"
            assert code_of(home, home, explicit=lock) == "lock.world-writable"
        lock.parent.chmod(0o775)
        assert found(home / "p", home).lock == lock

    def test_the_search_does_not_climb_into_such_a_directory(self, home: Path) -> None:
        write(home, "open/uv.lock", UV)
        (home / "open/mine").mkdir()
        (home / "open").chmod(0o1777)
        assert find_lock(home / "open/mine", home=home) is None

    def test_a_lock_that_everyone_can_write(self, home: Path) -> None:
        write(home, "p/uv.lock", UV).chmod(0o666)
        assert code_of(home / "p", home) == "lock.world-writable"

    def test_a_link_into_such_a_directory(self, home: Path) -> None:
        real = write(home, "open/real.lock", UV)
        real.parent.chmod(0o1777)
        (home / "p").mkdir()
        (home / "p/uv.lock").symlink_to(real)
        assert code_of(home / "p", home) == "lock.world-writable"

    def test_a_dangling_link(self, home: Path) -> None:
        (home / "p").mkdir()
        (home / "p/uv.lock").symlink_to("gone")
        assert code_of(home / "p", home) == "lock.unreadable"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_files_and_directories_of_others(self, home: Path) -> None:
        lock = write(home, "p/uv.lock", UV)
        os.chown(lock, 65_534, 65_534)
        assert code_of(home / "p", home) == "lock.foreign-owner"
        os.chown(lock, 0, 0)
        os.chown(lock.parent, 65_534, 65_534)
        assert code_of(home / "p", home) == "lock.foreign-owner"

    def test_a_script_lock_is_not_trusted_more(self, home: Path) -> None:
        script = write(home, "p/tool.py", TestScripts.BLOCK)
        write(home, "p/tool.py.lock", uv_lock()).chmod(0o666)
        assert code_of(home / "p", home, script=script) == "lock.world-writable"


def test_a_script_of_unclosed_blocks_takes_no_time(home: Path) -> None:
    script = write(home, "p/tool.py", "# /// script\n" * 200_000)
    assert find(home / "p", home, script=script) is None
