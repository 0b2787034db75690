"""What is begun before the daemon: only where somebody waits, and only what is not known yet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sprawld.acquire import forked
from sprawld.early import EXPECTED, INTERPRETERS, Early, begin
from tests.support.interpreters import newest
from virtual_sprawl import launch

SCRIPT = """
import json, os, sys
from sprawld.acquire import probing
from sprawld.early import begin

environ = {name: value for name, _, value in (word.partition("=") for word in sys.argv[1:])}
early = begin(environ, awaited=True)
answer = ""
if early.asked is not None:
    answer = json.loads(probing.outcome(early.asked, early.python)[1])["base"]
print(json.dumps({"workers": len(early.seeds), "python": early.python, "answer": answer, "left": [*environ]}))
for seed in early.seeds:
    seed.channel.close()
    os.waitpid(seed.pid, 0)
"""


def begun(**environ: str) -> dict[str, object]:
    """Begin in an interpreter with one thread; return what was."""
    words = [f"{name}={value}" for name, value in environ.items()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], check=True, capture_output=True, text=True, timeout=60
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


WORKERS = 2 if forked.can_fork() else 0


def test_nothing_where_nobody_waits() -> None:
    environ = {EXPECTED: str(newest()), "HOME": "/home"}
    assert begin(environ, awaited=False) == Early()
    assert environ == {"HOME": "/home"}


def test_the_expected_interpreter_is_asked(tmp_path: Path) -> None:
    python = str(newest())
    found = begun(**{EXPECTED: python, "XDG_CACHE_HOME": str(tmp_path)})
    assert found["workers"] == WORKERS
    assert found["python"] == python
    assert Path(str(found["answer"])).samefile(python)
    assert found["left"] == ["XDG_CACHE_HOME"]


def test_it_is_not_asked_where_answers_are_kept(tmp_path: Path) -> None:
    (tmp_path / "virtual-sprawl" / INTERPRETERS).mkdir(parents=True)
    found = begun(**{EXPECTED: str(newest()), "XDG_CACHE_HOME": str(tmp_path)})
    assert (found["workers"], found["python"], found["answer"]) == (WORKERS, "", "")


@pytest.mark.parametrize("python", ["", "python3", "/nowhere/python", "/bin", __file__])
def test_what_is_no_interpreter_is_left_to_the_request(python: str, tmp_path: Path) -> None:
    found = begun(**{EXPECTED: python, "XDG_CACHE_HOME": str(tmp_path)})
    assert (found["workers"], found["answer"]) == (WORKERS, "")


def test_the_client_says_the_same_word() -> None:
    assert launch._EXPECTED == EXPECTED
