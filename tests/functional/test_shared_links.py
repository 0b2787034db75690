"""A set shares the links that an older one has, stays whole without it, and passes for sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


def made(sandbox: Sandbox, name: str, wheels: list[Path]) -> Path:
    """Return the set of a project that locks these wheels."""
    lines = [f"{wheel.name.partition('-')[0]} @ {wheel.as_uri()}" for wheel in wheels]
    project = sandbox.project(name, {}, lines)
    digest = json.loads(sandbox.sprawl("sync", "--json", cwd=project).stdout)["digest"]
    return sandbox.store / "sets" / str(digest)


def names_of(path: Path) -> dict[str, int]:
    """Return how many names each link in site-packages and each interpreter has."""
    links = [*path.glob("lib/*/site-packages/*"), *path.glob("bin/python*")]
    return {link.name: link.lstat().st_nlink for link in links if link.is_symlink()}


def test_links_are_shared_and_each_set_stands_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    alpha, beta = (build_wheel(tmp_path, name, "1.0", {f"{name}.py": ""}) for name in ("alpha", "beta"))
    first = made(sandbox, "first", [alpha])
    second = made(sandbox, "second", [alpha, beta])
    found = names_of(second)
    assert {name for name, names in found.items() if names == 1} == {"beta.py", "beta-1.0.dist-info"}
    assert {"alpha.py", "_virtual_sprawl", "python"} < {name for name, names in found.items() if names == 2}
    assert sandbox.ctl("verify")["problems"] == []
    sandbox.run("chmod", "-R", "u+w", first)
    sandbox.run("rm", "-r", first)
    assert set(names_of(second).values()) == {1}
    ran = sandbox.sprawl("run", "-c", "import alpha, beta", cwd=sandbox.root / "projects/second")
    assert ran.returncode == 0
    # The older set that its links are looked for in is gone; the new one has links of its own.
    third = made(sandbox, "third", [alpha])
    assert third == first
    assert (third / "bin/python").exists()
