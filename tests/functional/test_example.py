"""The example of the README on real packages from the user's package index."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import interpreters
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(400)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "penguins"
LOOK = """
import json, sys
from matplotlib.image import imread
picture = imread(sys.argv[1])
colours = {tuple(pixel) for row in picture[::3, ::3, :3] for pixel in (row * 255).astype(int)}
print(json.dumps({"shape": picture.shape, "colours": len(colours), "light": float(picture[..., :3].mean())}))
"""


def test_the_example_draws_its_picture(user: Sandbox) -> None:
    project = user.root / "clone" / "penguins"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("*.png"))
    first = user.sprawl("run", project / "report.py", check=False, timeout=300)
    if "[index.unreachable]" in first.stderr:
        pytest.skip("no package index answers")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "342 penguins, 3 species -> report.png\n"
    picture = project / "report.png"
    seen = json.loads(user.sprawl("run", "-c", LOOK, picture, cwd=project).stdout)
    # 10 x 4.5 inches at 110 dots; mostly paper, with points in three colours and their shades.
    assert seen["shape"] == [495, 1100, 4]
    assert seen["colours"] > 100
    assert 0.8 < seen["light"] < 0.99

    before = user.tree()
    fetched = user.status()["fetched"]
    picture.unlink()
    user.sprawl("run", project / "report.py", cwd=Path("/"))
    hooked = user.run(sys.executable, project / "report.py", env={"VIRTUAL_SPRAWL": "1"})
    assert hooked.stdout == first.stdout
    assert picture.stat().st_size > 10_000
    assert user.tree() == before
    assert user.status()["fetched"] == fetched

    other = interpreters().get("3.12")
    if other is not None:
        code = "import sys, numpy, pandas; print(sys.version_info[:2], numpy.__version__)"
        outcome = user.sprawl("+3.12", "run", "-c", code, cwd=project, env=_pyenv(other)).stdout
        assert outcome == "(3, 12) 2.4.6\n"


def _pyenv(python: Path) -> dict[str, str]:
    return {"PATH": f"{python.parent}:{os.environ['PATH']}"}


def test_the_example_that_is_a_package_has_its_command(user: Sandbox) -> None:
    project = user.root / "clone" / "wordcount"
    shutil.copytree(EXAMPLE.with_name("wordcount"), project)
    (project / "text.txt").write_text("one two two three three three\n")
    outcome = user.sprawl("run", "wordcount", "text.txt", cwd=project, check=False, timeout=300)
    if "[index.unreachable]" in outcome.stderr:
        pytest.skip("no package index answers")
    assert outcome.returncode == 0, outcome.stderr
    assert [line.split()[1:4:2] for line in outcome.stdout.splitlines()[3:6]] == [
        ["three", "3"],
        ["two", "2"],
        ["one", "1"],
    ]
    assert user.sprawl("run", "wordcount", cwd=project, check=False).stdout.startswith("wordcount 1.0\n")
