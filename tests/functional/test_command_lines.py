"""Command lines as people type them: what was probably meant, and output that nobody reads to its end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.sandbox import SCRIPTS, Sandbox

pytestmark = pytest.mark.functional


@pytest.mark.parametrize(
    "words", ["sprawl --help", "sprawlctl --help", "sprawlctl service install --dry-run"]
)
def test_a_reader_that_has_seen_enough_is_no_fault(sandbox: Sandbox, words: str) -> None:
    program, *arguments = words.split()
    reader, writer = os.pipe()
    os.close(reader)
    try:
        outcome = subprocess.run(
            [SCRIPTS / program, *arguments], stdout=writer, stderr=subprocess.PIPE, env=sandbox.environ
        )
    finally:
        os.close(writer)
    assert (outcome.returncode, outcome.stderr) == (-signal.SIGPIPE, b"")


MEANT = {
    "gc": "it is one of sprawlctl: `sprawlctl gc`",
    "-m": "to run it: `sprawl run -m`",
    "script.py": "to run it: `sprawl run script.py`",
    "runn": "`sprawl --help` lists them",
}


@pytest.mark.parametrize("word", MEANT)
def test_an_unknown_command_is_told_what_was_meant(sandbox: Sandbox, tmp_path: Path, word: str) -> None:
    (tmp_path / "script.py").touch()
    outcome = sandbox.sprawl(word, "x", cwd=tmp_path, check=False)
    assert outcome.returncode == 2
    assert outcome.stderr == f"sprawl: unknown command {word!r}; {MEANT[word]}\n"


def test_a_link_that_leads_nowhere_is_no_script(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "tool").symlink_to("gone.py")
    project = sandbox.project("empty", {"uv.lock": 'version = 1\nrequires-python = ">=3.8"\n'}, [])
    outcome = sandbox.sprawl("run", tmp_path / "tool", cwd=project, check=False)
    assert outcome.returncode == 126
    assert "[command.failed]" in outcome.stderr
