"""Damage to packs: each is found with its path, the pack goes even under a program, and is made again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.index import SimpleIndex
from tests.support.place import Place, flip, opened, unlink

pytestmark = pytest.mark.functional

WHO = "import alpha, beta, gamma; print(alpha.WHO, beta.WHO, gamma.WHO, alpha.__loader__.packed is not None)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with SimpleIndex() as index:
        place = Place(tmp_path_factory.mktemp("place"), index)
        yield place
        place.sandbox.close()


def packs_of(place: Place) -> dict[str, Path]:
    """Return name of the package -> its pack, once all are made."""
    while place.sandbox.status()["packs"]["waiting"]:
        pass
    found = {path.stem: path for path in (place.sandbox.store / "packs").rglob("*.pack")}
    return {name: found[entry.name] for name, entry in place.entries.items()}


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _loosen(path: Path) -> None:
    path.chmod(0o644)


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("magic", flip(0.0), "changed"),
    ("code", flip(0.3), "changed"),
    ("middle", flip(0.5), "changed"),
    ("end", flip(1.0), "changed"),
    ("short", _truncate, "changed"),
    ("empty", lambda path: path.write_bytes(b""), "changed"),
    ("mode", _loosen, "mode"),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=[damage[0] for damage in DAMAGE])
def test_a_damaged_pack_is_found_and_made_again(
    place: Place, damage: tuple[str, Callable[[Path], object], str]
) -> None:
    title, work, kind = damage
    pack = packs_of(place)["alpha"]
    if title == "mode":
        work(pack)
    else:
        opened(pack, work)
    before = place.snapshot(pack)
    found = place.verify("--all", code=1)
    assert [(problem["kind"], problem["path"]) for problem in found["problems"]] == [(kind, str(pack))]
    assert (found["problems"][0]["where"], found["problems"][0]["package"]) == ("packs", "alpha 1.0")
    assert found["checked"]["packs"] == 3
    assert pack.exists(), "looking changes nothing"
    offline = place.verify("--all", "--repair", "--offline", code=0 if title == "mode" else 1)
    assert pack.exists(), offline
    assert place.verify("--all", "--repair")["sound"]
    again = packs_of(place)["alpha"]
    assert again == pack
    assert again.stat().st_mode & 0o777 == 0o444
    assert place.verify("--all")["problems"] == []
    assert place.snapshot(pack) == before


def test_what_is_no_pack_of_anything_goes(place: Place) -> None:
    pack = packs_of(place)["beta"]
    extras = [pack.with_name("0" * 64 + ".pack"), pack.with_name("note.txt"), pack.with_suffix(".old")]
    for path in extras:
        path.write_bytes(pack.read_bytes())
    (pack.parent.parent / "stray").touch()
    extras.append(pack.parent.parent / "stray")
    found = place.verify("--quick", code=1)["problems"]
    assert {(problem["kind"], problem["path"].rstrip("/")) for problem in found} == {
        ("extra", str(path)) for path in extras
    }
    assert place.verify("--quick", "--repair")["sound"]
    assert not any(path.exists() for path in extras)


def test_a_pack_goes_under_a_program_that_uses_it(place: Place) -> None:
    pack = packs_of(place)["gamma"]
    code = "import alpha; input(); import gamma.other; print(gamma.other.X)"
    running = place.sandbox.start(
        "sprawl",
        "run",
        "-c",
        code.replace("import alpha;", "import gamma; print('up', flush=True);"),
        cwd=place.project,
        stdin=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    opened(pack, flip(0.4))
    assert place.verify("--all", "--repair")["sound"]
    assert running.communicate("\n")[0].strip() == "1"
    assert packs_of(place)["gamma"] == pack
    run = place.sandbox.sprawl("run", "-c", WHO, cwd=place.project)
    assert run.stdout == "alpha beta gamma True\n"


def test_a_pack_that_is_gone_is_no_damage(place: Place) -> None:
    opened(packs_of(place)["beta"], unlink)
    assert place.verify("--all")["problems"] == []
