"""State: uses and roots survive restarts; damage of the database costs nothing but times of use."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import files
from sprawld.store.state import Root, State
from sprawld.store.tree import Store
from tests.support import children
from tests.support.entries import digest_of

ONE, TWO = digest_of("one"), digest_of("two")
LOCK = Path("/project/uv.lock")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Store.open(tmp_path / "store").root


@pytest.fixture
def state(root: Path) -> Iterator[State]:
    state = State.open(root)
    yield state
    state.close()


def again(state: State) -> State:
    """Close it and open it anew in its place."""
    state.close()
    state.__init__(state.installs._path.parent)  # type: ignore[misc]
    return state


class TestUses:
    def test_are_known_before_and_after_they_are_written(self, state: State) -> None:
        state.touch(LOCK, ONE, now=100.9)
        state.touch(LOCK, TWO, now=100)
        state.touch(Path("/other/poetry.lock"), ONE, now=50)
        state.touch_entries([ONE], now=7)
        for _ in range(2):
            assert sorted(state.roots_of(ONE), key=lambda root: root.used) == [
                Root(lock=Path("/other/poetry.lock"), digest=ONE, used=50),
                Root(lock=LOCK, digest=ONE, used=100),
            ]
            assert len(state.roots()) == 3
            assert state.entry_uses() == {ONE: 7}
            assert state.statistics().locks == 2
            state = again(state)
        assert state.statistics().unflushed == 0

    def test_the_latest_counts_even_if_the_clock_went_back(self, state: State) -> None:
        state.touch(LOCK, ONE, now=100)
        state.flush()
        state.touch(LOCK, ONE, now=60)
        assert [root.used for root in state.roots()] == [60]
        assert state.flush()
        assert [root.used for root in again(state).roots()] == [60]

    def test_a_path_that_is_no_text_is_kept(self, state: State) -> None:
        lock = Path(os.fsdecode(b"/caf\xe9/uv.lock"))
        state.touch(lock, ONE, now=1)
        assert [root.lock for root in again(state).roots()] == [lock]

    def test_what_is_gone_is_forgotten(self, state: State) -> None:
        for flushed in (False, True):
            state.touch(LOCK, ONE, now=1)
            state.touch(LOCK, TWO, now=1)
            state.touch_entries([ONE, TWO], now=1)
            if flushed:
                state.flush()
            state.forget_set(ONE)
            state.forget_entry(ONE)
            assert [root.digest for root in state.roots()] == [TWO]
            assert list(state.entry_uses()) == [TWO]

    def test_many_threads_touch_and_flush(self, state: State) -> None:
        def work(number: int) -> None:
            for step in range(50):
                state.touch(Path(f"/{number}"), digest_of(str(step)), now=step)
                if step % 10 == 0:
                    assert state.flush()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(again(state).roots()) == 200

    def test_the_last_gc_is_remembered(self, state: State) -> None:
        assert state.last_gc() is None
        state.record_gc(now=5.5)
        state.record_gc(now=6.5)
        assert again(state).last_gc() == 6


class TestDamage:
    @pytest.mark.parametrize(
        "content", [b"not a database at all", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 8192]
    )
    def test_is_set_aside_when_opened(
        self, root: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        (root / "state.sqlite").write_bytes(content)
        state = State.open(root)
        assert state.roots() == []
        state.touch(LOCK, ONE, now=1)
        assert len(again(state).roots()) == 1
        state.close()
        assert (root / "state.sqlite.damaged").read_bytes() == content
        assert "set aside" in caplog.text

    def test_of_any_byte_never_stops_it(self, root: Path) -> None:
        state = State.open(root)
        for number in range(200):
            state.touch(Path(f"/project/{number}/uv.lock"), digest_of(str(number)), now=number)
        state.close()
        whole = (root / "state.sqlite").read_bytes()
        for cut in range(0, len(whole), len(whole) // 25):
            (root / "state.sqlite").write_bytes(whole[:cut])
            use(root)
            (root / "state.sqlite").write_bytes(whole[:cut] + os.urandom(64) + whole[cut + 64 :])
            use(root)

    def test_of_a_last_page_that_was_cut_is_noticed(self, root: Path) -> None:
        """SQLite reads it as if it ended in zeros."""
        State.open(root).close()
        path, aside = root / "state.sqlite", root / "state.sqlite.damaged"
        for lost in (1, 100, 2000):
            cut = path.read_bytes()[:-lost]
            path.write_bytes(cut)
            State.open(root).close()
            assert aside.read_bytes() == cut

    def test_is_set_aside_when_it_happens_later(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        state = State.open(root)
        other = sqlite3.connect(root / "state.sqlite")
        other.execute("DROP TABLE roots")
        other.close()
        state.touch(LOCK, ONE, now=1)
        assert state.flush()
        assert len(state.roots()) == 1
        state.close()
        assert "set aside" in caplog.text

    def test_a_newer_releases_database_is_set_aside(self, root: Path) -> None:
        newer = sqlite3.connect(root / "state.sqlite")
        newer.execute("PRAGMA user_version = 2")
        newer.close()
        use(root)
        assert (root / "state.sqlite.damaged").exists()

    def test_a_link_is_not_followed(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "precious").write_bytes(b"x")
        (root / "state.sqlite").symlink_to(tmp_path / "precious")
        state = State.open(root)
        state.touch(LOCK, ONE, now=1)
        assert not state.flush()
        state.close()
        assert (tmp_path / "precious").read_bytes() == b"x"


def use(root: Path) -> None:
    state = State.open(root)
    state.touch(LOCK, ONE, now=1)
    assert state.flush()
    assert LOCK in [known.lock for known in state.roots()]
    assert state.entry_uses() is not None
    state.close()


class TestJournal:
    @pytest.mark.parametrize(("network", "mode"), [(False, "wal"), (True, "delete")])
    def test_fits_the_file_system(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, network: bool, mode: str
    ) -> None:
        monkeypatch.setattr(files, "is_network", lambda path: network)
        use(root)
        database = sqlite3.connect(root / "state.sqlite")
        assert database.execute("PRAGMA journal_mode").fetchone() == (mode,)
        database.close()

    def test_local_disks_are_not_taken_for_the_network(self, root: Path) -> None:
        assert not files.is_network(root)
        assert not files.is_network(Path("/proc"))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", directory]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small disk")
        yield Path(directory)
        subprocess.run(["umount", directory], check=True)


def test_a_full_disk_delays_what_is_written(small_disk: Path) -> None:
    root = Store.open(small_disk / "store").root
    use(root)
    fill(small_disk / "filler")
    state = State.open(root)
    assert [known.lock for known in state.roots()] == [LOCK]
    lock = Path("/later/uv.lock")
    state.touch(lock, TWO, now=2)
    for number in range(2000):
        state.touch(Path(f"/later/{number}/uv.lock"), TWO, now=2)
    assert not state.flush()
    assert lock in [known.lock for known in state.roots()]
    with pytest.raises(StoreError) as refusal:
        state.installs.record(Path("/venv"), [ONE], now=1)
    assert refusal.value.code == "disk.full"
    (small_disk / "filler").unlink()
    assert state.flush()
    assert lock in [known.lock for known in again(state).roots()]
    state.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


class TestInstalls:
    def test_are_recorded_replaced_and_forgotten(self, state: State) -> None:
        state.installs.record(Path("/venv"), [ONE, TWO, ONE], now=5)
        state.installs.record(Path("/other"), [TWO], now=6)
        state.installs.record(Path("/venv"), [ONE], now=7)
        found = {install.target: install for install in again(state).installs.all()}
        assert found[Path("/venv")].entries == {ONE}
        assert found[Path("/venv")].installed == 7
        assert state.statistics().installs == 2
        assert state.installs.forget(Path("/venv"))
        assert not state.installs.forget(Path("/venv"))
        assert [install.target for install in state.installs.all()] == [Path("/other")]

    def test_survive_the_loss_of_the_database(self, root: Path) -> None:
        state = State.open(root)
        state.installs.record(Path("/venv"), [ONE], now=5)
        state.close()
        (root / "state.sqlite").write_bytes(b"damaged")
        state = State.open(root)
        assert len(state.installs.all()) == 1
        state.close()

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"target": 1}', b"\xff"])
    def test_damage_is_not_taken_for_absence(self, state: State, root: Path, content: bytes) -> None:
        (root / "roots" / "x.json").write_bytes(content)
        with pytest.raises(StoreError) as refusal:
            state.installs.all()
        assert refusal.value.code == "store.damaged"


def test_damage_under_an_open_database_is_found_and_set_aside(tmp_path: Path) -> None:
    root = Store.open(tmp_path / "store").root
    State.open(root).close()
    state = State.open(root)
    assert state.damage() == ""
    (root / "state.sqlite").write_bytes(b"garbage" * 2000)
    assert state.damage() == "file is not a database"
    state.touch(tmp_path / "uv.lock", "a" * 40, now=1)
    state.begin_anew()
    assert state.damage() == ""
    assert state.flush()
    assert len(state.roots()) == 1
    assert (root / "state.sqlite.damaged").exists()
    state.close()


def crashed(root: Path) -> None:
    """Leave what a daemon leaves that was killed: a database with its log and the log's index."""

    def work() -> None:
        state = State.open(root)
        for number in range(50):
            state.touch(Path(f"/project/{number}/uv.lock"), digest_of(str(number)), now=number)
            state.flush()

    assert children.fork(work) == 0
    assert all((root / f"state.sqlite{suffix}").exists() for suffix in ("-wal", "-shm"))


LOG_DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 3),
    "empty": lambda path: os.truncate(path, 0),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "gone": lambda path: path.unlink(),
    "read-only": lambda path: path.chmod(0o400),
}


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("damage", LOG_DAMAGE)
def test_damage_of_the_log_and_its_index_never_stops_it(root: Path, suffix: str, damage: str) -> None:
    crashed(root)
    LOG_DAMAGE[damage](root / f"state.sqlite{suffix}")
    state = State.open(root)
    known = len(state.roots())
    # The index is made anew from the log; without the log times of use are lost, and nothing else.
    assert known == 50 or suffix == "-wal"
    state.touch(LOCK, ONE, now=99)
    assert state.flush()
    assert state.damage() == ""
    assert len(again(state).roots()) == known + 1
    state.close()


def test_a_read_only_file_system_is_read_as_it_is(small_disk: Path) -> None:
    root = Store.open(small_disk / "store").root
    use(root)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    state = State.open(root)
    assert [known.lock for known in state.roots()] == [LOCK]
    state.touch(LOCK, TWO, now=2)
    assert not state.flush()
    assert {known.digest for known in state.roots()} == {ONE, TWO}
    with pytest.raises(StoreError) as refusal:
        state.installs.record(Path("/venv"), [ONE], now=1)
    assert refusal.value.code == "store.unwritable"
    with pytest.raises(StoreError) as refusal:
        Store.open(root)
    assert refusal.value.code == "store.unwritable"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert state.flush()
    assert {known.digest for known in again(state).roots()} == {ONE, TWO}
    state.close()
