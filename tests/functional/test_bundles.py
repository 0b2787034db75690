"""Bundles through the daemon: made on demand, used by running programs, counted once, verified, collected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import binaries
from tests.support.daemons import NEVER, start_daemon
from tests.support.index import SimpleIndex
from tests.support.place import SITE, flip, opened, unlink
from tests.support.sandbox import Sandbox
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.functional

ANSWER = """
import ctypes, os, user
print(ctypes.CDLL(os.path.join(os.path.dirname(user.__file__), "lib", "libuser.so")).answer())
"""


class Pair:
    """A project whose two packages make a bundle."""

    def __init__(self, directory: Path, index: SimpleIndex) -> None:
        self.sandbox = Sandbox(directory / "user", index=index.url)
        value = binaries.library(directory / "c", "libvalue.so", "int value(void) { return 41; }")
        user = binaries.extension(directory / "c", "libvalue.so", "$ORIGIN/../../value/lib")
        files: dict[str, dict[str, str | bytes]] = {
            "value": {"value/__init__.py": "", "value/lib/libvalue.so": value},
            "user": {"user/__init__.py": "", "user/lib/libuser.so": user},
        }
        self.entries = {}
        lines = []
        for name, own in files.items():
            wheel = build_wheel(directory, name, "1.0", own)
            index.add(wheel)
            digest = index.sha256(wheel.name)
            lines.append(f"{name}==1.0 --hash=sha256:{digest}")
            self.entries[name] = self.sandbox.store / "wheels" / digest
        self.project = self.sandbox.project("app", {"main.py": ANSWER}, lines)
        self.lines = lines

    def answer(self, **options: Any) -> str:
        return self.sandbox.sprawl("run", self.project / "main.py", **options).stdout.strip()

    def bundle(self) -> Path:
        (path,) = (self.sandbox.store / "bundles").iterdir()
        return path

    def verify(self, *options: str) -> Any:
        command = ("sprawlctl", "verify", *options, "--json")
        return json.loads(self.sandbox.run(*command, check=False).stdout)


@pytest.fixture
def pair(tmp_path: Path, index: SimpleIndex) -> Iterator[Pair]:
    made = Pair(tmp_path, index)
    yield made
    made.sandbox.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One for all tests that leave it sound."""
    with SimpleIndex() as index:
        made = Pair(tmp_path_factory.mktemp("steady"), index)
        yield made
        made.sandbox.close()


def test_a_program_runs_on_a_bundle_by_every_road(pair: Pair) -> None:
    assert pair.answer() == "42"
    assert pair.answer() == "42"
    path_set = Path(pair.sandbox.sprawl("sync", "--print-path", cwd=pair.project).stdout.strip())
    # Its own interpreter, without daemon and without the environment.
    done = subprocess.run([path_set / "bin/python", "-I", "-c", ANSWER], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("42\n", "")
    assert pair.sandbox.status()["store"]["bundles"] == 1


def test_a_bundle_is_shared_and_counted_once(pair: Pair) -> None:
    pair.answer()
    alone = pair.sandbox.status()["store"]["bytes"]
    again = pair.sandbox.project("again", {"main.py": ANSWER}, [*pair.lines, ""])
    assert pair.sandbox.sprawl("run", again / "main.py").stdout == "42\n"
    assert pair.sandbox.status()["store"]["bytes"] == alone
    (row,) = pair.sandbox.ctl("ls")["bundles"]
    assert row == {
        "bundle": pair.bundle().name,
        "packages": ["user==1.0", "value==1.0"],
        "files": 4,
        "bytes": 0,
        "sets": 1,
    }


def test_gc_takes_a_bundle_with_its_last_set(pair: Pair) -> None:
    pair.answer()
    kept = pair.sandbox.ctl("gc", "--max-age", "0d", "--dry-run")["items"]
    assert {item["kind"] for item in kept} == {"sets", "bundles", "wheels"}
    assert sum(item["bytes"] for item in kept if item["kind"] == "bundles") == 0
    sleeper = pair.sandbox.start(
        "sprawl",
        "run",
        "-c",
        "import user; print(1, flush=True); input()",
        cwd=pair.project,
        stdin=subprocess.PIPE,
    )
    assert sleeper.stdout is not None
    assert sleeper.stdin is not None
    assert sleeper.stdout.readline() == "1\n"
    assert pair.sandbox.ctl("gc", "--max-age", "0d")["items"] == []
    assert pair.bundle().is_dir()
    sleeper.communicate("\n", timeout=60)
    gone = pair.sandbox.ctl("gc", "--max-age", "0d")["items"]
    assert [item["kind"] for item in gone] == ["sets", "bundles", "wheels", "wheels"]
    assert list((pair.sandbox.store / "bundles").iterdir()) == []
    assert pair.answer() == "42"


def _swap(path: Path) -> None:
    """Replace a file by another of the same size, which leaves the entry's as it is."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o444)


@pytest.mark.parametrize(
    ("work", "where", "kind"),
    [
        (unlink, f"{SITE}/value/lib/libvalue.so", "missing"),
        (_swap, f"{SITE}/value/lib/libvalue.so", "changed"),
        (lambda path: path.write_text("x"), f"{SITE}/value/more.py", "extra"),
        (unlink, "bundle.json", "description"),
    ],
    ids=["missing", "changed", "extra", "description"],
)
def test_a_damaged_bundle_is_found_dropped_and_made_again(
    steady: Pair, work: Callable[[Path], object], where: str, kind: str
) -> None:
    pair = steady
    pair.answer()
    bundle = pair.bundle()
    parent = (bundle / where).parent
    parent.chmod(0o755)
    work(bundle / where)
    parent.chmod(0o555)
    found = pair.verify("--all")["problems"]
    assert (kind, "bundles", str(bundle / where)) in [(p["kind"], p["where"], p["path"]) for p in found]
    offline = pair.verify("--all", "--repair", "--offline")["problems"]
    assert {problem["status"] for problem in offline} == {"offline"}
    repaired = pair.verify("--all", "--repair")
    assert {p["status"] for p in repaired["problems"] if p["where"] == "bundles"} == {"repaired"}
    assert repaired["sound"]
    assert not bundle.exists()
    assert pair.answer() == "42"
    assert bundle.exists()
    assert pair.verify("--all")["problems"] == []


def test_what_root_wrote_through_a_bundle_is_damage_of_the_entry(pair: Pair) -> None:
    pair.answer()
    bundle = pair.bundle()
    opened(bundle / SITE / "value/lib/libvalue.so", flip(0.5))
    found = pair.verify("--all")["problems"]
    assert [(problem["where"], problem["path"]) for problem in found] == [
        ("wheels", str(pair.entries["value"] / SITE / "value/lib/libvalue.so"))
    ]
    assert pair.verify("--all", "--repair")["sound"]
    # Its files would have been the damaged ones.
    assert not bundle.exists()
    assert pair.answer() == "42"
    assert os.path.samefile(
        bundle / SITE / "value/lib/libvalue.so", pair.entries["value"] / SITE / "value/lib/libvalue.so"
    )
    assert pair.verify("--all")["problems"] == []


@pytest.mark.parametrize("stopped", [True, False])
def test_a_bundle_that_was_deleted_by_hand_comes_back(steady: Pair, stopped: bool) -> None:
    pair = steady
    pair.answer()
    bundle = pair.bundle()
    if stopped:
        pair.sandbox.ctl("stop")
    subprocess.run(["chmod", "-R", "u+w", bundle], check=True)
    subprocess.run(["rm", "-r", bundle], check=True)
    if stopped:
        # Without a daemon the last reply for the unchanged lock is taken as it is.
        lock = pair.project / "requirements.txt"
        lock.write_text(lock.read_text() + "\n")
    assert pair.answer() == "42"
    assert bundle.exists()


def test_after_a_reboot_a_volatile_bundle_goes_with_its_set(pair: Pair) -> None:
    pair.answer()
    bundle = pair.bundle()
    (path_set,) = (pair.sandbox.store / "sets").iterdir()
    pair.sandbox.kill_daemon()
    # As if the power had gone before anything was durable.
    for kind in ("durable", "direct", "replies"):
        for mark in (pair.sandbox.store / kind).iterdir():
            mark.unlink()
    for made in (bundle, path_set):
        opened(made / "boot", lambda path: path.write_text("another-boot"))
    assert pair.answer() == "42"
    assert (pair.bundle() / "boot").read_text() != "another-boot"
    assert pair.verify("--all")["problems"] == []


def test_killed_between_bundle_and_set(pair: Pair) -> None:
    """A bundle without its set is nothing that hurts, and is used by the next request."""
    variable = {"SPRAWL_TEST_FAILPOINT": "set.built:kill"}
    daemon = start_daemon(pair.sandbox, "--enable-failpoints", env=variable)
    pair.sandbox.sprawl("sync", cwd=pair.project, env=NEVER, check=False)
    assert daemon is not None
    assert daemon.wait(60) == -signal.SIGKILL
    assert pair.bundle().is_dir()
    assert list((pair.sandbox.store / "sets").iterdir()) == []
    assert pair.answer() == "42"


def test_modules_of_a_bundle_come_from_the_packs_of_their_entries(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    """Also where the link to the bundle stands above what several entries share."""
    elf = binaries.elf_bytes
    lines = []
    for name, looks in (("a", None), ("b", "$ORIGIN/../../a/lib")):
        files: dict[str, str | bytes] = {
            f"ns/{name}/m.py": f"WHO = '{name}'\n",
            f"ns/{name}/lib/lib{name}.so": elf(looks),
        }
        wheel = build_wheel(tmp_path, f"ns-{name}", "1.0", files)
        index.add(wheel)
        lines.append(f"ns-{name}==1.0 --hash=sha256:{index.sha256(wheel.name)}")
    code = "from ns.a import m\nfrom ns.b import m as n\n"
    # Some programs put the real path of their directory on sys.path: no bytecode is written there, either.
    code += "import os, sys\nsys.path.insert(0, os.path.realpath(os.path.dirname(m.__file__)))\n"
    code += "import m as again\n"
    code += (
        "assert type(sys.path_importer_cache[sys.path[0]]).__module__.startswith('_virtual_sprawl'), again\n"
    )
    code += "print(m.WHO, n.WHO, bool(m.__loader__.packed), n.__file__)\n"
    project = sandbox.project("app", {"main.py": code}, lines)
    assert sandbox.sprawl("run", project / "main.py").stdout.startswith("a b ")
    while sandbox.status()["packs"]["count"] < 2:
        pass
    path_set = sandbox.sprawl("sync", "--print-path", cwd=project).stdout.strip()
    *found, file = sandbox.sprawl("run", project / "main.py").stdout.split()
    assert found == ["a", "b", "True"]
    assert file.startswith(f"{path_set}/lib/")
    (link,) = Path(path_set).glob("lib/python*/site-packages/ns")
    assert "/bundles/" in os.readlink(link)
