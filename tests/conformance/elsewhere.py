"""What poetry and pdm select for places that are not this machine: their own code, told of another place.

Neither has an option for it on its command line. So the code behind `poetry install` and `pdm sync` is run in
the tool's own process, with the markers, the tags or the platform of the place instead of those of a running
interpreter.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from .chosen import question
from .tally import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .places import Place
    from .tools import Toolbox

__all__ = ["answer_from", "ask_elsewhere"]

_SECONDS = 600
_PROBES = {"poetry": "poetry_installer.py", "pdm": "pdm_resolver.py"}


def ask_elsewhere(
    tools: Toolbox, tool: str, root: Path, asked: Sequence[tuple[Place, bool, bool]]
) -> list[dict[str, Any]]:
    """Return an answer for each (place, all extras, all groups), for the project at `root`.

    An answer has `packages`, name -> version (None for direct sources), or `refused`, the tool's words.
    """
    questions = [
        {
            **question(place, {}),
            "markers": dict(place.environment.markers),
            "extras": extras,
            "groups": groups,
        }
        for place, extras, groups in asked
    ]
    done = subprocess.run(
        [tools.tool(tool) / "python", "-W", "ignore", Path(__file__).with_name(_PROBES[tool])],
        input=json.dumps(questions),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env=tools.environ(),
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def answer_from(answer: Mapping[str, Any], refusals: Mapping[str, str]) -> Answer:
    """Return an answer like the others; `refusals` maps patterns of the tool's words to our codes."""
    if "refused" in answer:
        words = " ".join(answer["refused"].split())
        code = next((code for pattern, code in refusals.items() if re.search(pattern, words)), "?")
        return Answer(refused=code, text=words[-400:])
    # pdm has an entry of its own for each set of extras.
    return Answer(
        packages={
            str(canonicalize_name(name.partition("[")[0])): version
            for name, version in answer["packages"].items()
        }
    )
