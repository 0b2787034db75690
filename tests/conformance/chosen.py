"""Which file of each package: our choice beside that of a tool's own code, run in the tool's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprawld.errors import SelectionError
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.preference import preference_of

from .places import Place
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sprawld.model import Environment, Pin

    from .tools import Toolbox

__all__ = ["PROBES", "ask_probe", "compare_files", "question"]

_SECONDS = 300
PROBES = {"poetry": "poetry_chooser.py", "pdm": "pdm_finder.py"}
_PDM_PLATFORMS = {
    "x86_64-unknown-linux-gnu": "manylinux_2_28_x86_64",
    "aarch64-unknown-linux-gnu": "manylinux_2_28_aarch64",
    "aarch64-apple-darwin": "macos_13_0_arm64",
    "x86_64-apple-darwin": "macos_13_0_x86_64",
    "x86_64-unknown-linux-musl": "musllinux_1_2_x86_64",
}


def compare_files(
    tally: Tally, tools: Toolbox, tool: str, selected: Iterable[tuple[Place, tuple[Pin, ...]]]
) -> None:
    """Count, for each place, the packages of which `tool` takes the same file of those the lock names."""
    asked = [(place, [pin for pin in pins if pin.artifacts]) for place, pins in selected]
    questions = [question(place, {pin.name: _named(pin) for pin in pins}) for place, pins in asked]
    for (place, pins), answer in zip(asked, ask_probe(tools, tool, questions), strict=True):
        ours = {str(pin.name): _our_file(pin, place.environment, tool) for pin in pins}
        theirs = {name: filename or "none" for name, filename in answer.items()}
        tally.count_files(f"{place} files", theirs, ours)


def ask_probe(tools: Toolbox, tool: str, questions: list[dict[str, Any]]) -> list[dict[str, str | None]]:
    """Return, for each question, name -> file that poetry or pdm takes; raises ToolMissingError."""
    done = subprocess.run(
        [tools.tool(tool) / "python", Path(__file__).with_name(PROBES[tool])],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env=tools.environ(),
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, str | None]] = json.loads(done.stdout)
    return answers


def question(place: Place, packages: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return a question about one place; `packages` has name -> (version, file names)."""
    environment = place.environment
    return {
        "tags": [str(tag) for tag in environment.tags],
        "python": ".".join(map(str, environment.version)),
        "platform": _PDM_PLATFORMS.get(place.platform) or _platform_here(environment),
        "packages": packages,
    }


def _named(pin: Pin) -> tuple[str | None, list[str]]:
    return pin.version, [artifact.filename for artifact in pin.artifacts]


def _our_file(pin: Pin, environment: Environment, tool: str) -> str:
    try:
        choice = choose(pin, environment, hashed=False, preference=preference_of(tool))
    except SelectionError:
        return "none"
    assert choice.artifact is not None
    return choice.artifact.filename


def _platform_here(environment: Environment) -> str:
    """Return this machine as pdm names it: the newest manylinux that fits."""
    platforms = (tag.platform for tag in environment.tags)
    return next(name for name in platforms if name.startswith(("manylinux_", "musllinux_", "macosx_")))
