"""Locks that say where their files lie: places of `--find-links`, with and without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.index import SimpleIndex
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

NO_INDEX = {"VIRTUAL_SPRAWL_INDEX": "http://127.0.0.1:9/simple/"}
CODE = "import alpha; print(alpha.WHO)"


def run(sandbox: Sandbox, project: Path, **options: object) -> tuple[int, str, str]:
    done = sandbox.sprawl("run", "-c", CODE, cwd=project, check=False, env=NO_INDEX, **options)
    return done.returncode, done.stdout, done.stderr


def wheel(directory: Path, who: str, **options: object) -> Path:
    directory.mkdir(exist_ok=True)
    return build_wheel(directory, "alpha", "1.0", {"alpha.py": f"WHO = {who!r}\n"}, **options)  # type: ignore[arg-type]


def test_a_wheelhouse_in_the_clone_needs_no_index(sandbox: Sandbox) -> None:
    project = sandbox.project("one", {}, ["--no-index", "--find-links ./wheels", "alpha==1.0"])
    code, _, message = run(sandbox, project)
    assert (code, "[index.file-not-found]" in message) == (125, True)
    file = wheel(project / "wheels", "the clone")
    (project / "wheels" / "notes-1.0.txt").write_text("no wheel\n")
    assert run(sandbox, project) == (0, "the clone\n", "")
    # What it was at its first use it stays, whatever lies there later.
    file.unlink()
    wheel(project / "wheels", "somebody else")
    assert run(sandbox, project) == (0, "the clone\n", "")


def test_a_locked_hash_holds_for_a_file_in_a_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    with SimpleIndex([wheel(tmp_path / "right", "right")]) as index:
        digest = index.sha256("alpha-1.0-py3-none-any.whl")
    lines = ["--no-index", "-f wheels", f"alpha==1.0 --hash=sha256:{digest}"]
    project = sandbox.project("one", {}, lines)
    wheel(project / "wheels", "wrong")
    code, _, message = run(sandbox, project)
    assert (code, "[fetch.hash-mismatch]" in message) == (125, True), message
    wheel(project / "wheels", "right")
    assert run(sandbox, project) == (0, "right\n", "")


def test_a_better_wheel_that_is_added_makes_a_new_set(sandbox: Sandbox) -> None:
    project = sandbox.project("one", {}, ["--no-index", "--find-links wheels", "alpha==1.0"])
    wheel(project / "wheels", "any Python")
    assert run(sandbox, project)[1] == "any Python\n"
    wheel(project / "wheels", "three eleven", tag="py311-none-any")
    assert run(sandbox, project)[1] == "three eleven\n"


def test_a_page_of_links_and_an_index_are_both_looked_at(sandbox: Sandbox, tmp_path: Path) -> None:
    plain = wheel(tmp_path / "plain", "the index")
    linked = wheel(tmp_path / "linked", "the page")
    with SimpleIndex([plain]) as index, SimpleIndex([linked], html=True) as page:
        hashes = [f"--hash=sha256:{server.sha256(plain.name)}" for server in (index, page)]
        locked = " ".join(["alpha==1.0", *hashes])
        lines = [f"-i {index.url}", f"--find-links {page.url}alpha/", locked]
        project = sandbox.project("one", {}, lines)
        assert run(sandbox, project) == (0, "the page\n", "")
        assert index.requests["/simple/alpha/"] == 1
