"""Pipfile.lock: the lines that pipenv makes of it, and which of them uv and pip install.

`pipenv sync` hands these lines to pip, without dependencies: those of `default`, then those of `develop`.
Which apply is what uv and pip answer for stubs of the same names and versions, as in `ask_requirements`.

The hashes that pipenv hands over are compared line by line: they decide which file pip takes. There are no
stubs of repositories and directories; `test_requirements_corpus` compares those with the text of the lock.

pipenv only warns when the Python is not that of the lock; we refuse. So that there is something to compare,
the Python is taken out of the copies.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sprawld.model import Wanted

from .ask_requirements import Installers, put_stubs, without_hashes
from .copies import Copy, copy
from .tally import Answer, Tally, answer_of
from .variants import DEFAULT, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sprawld.model import Pin

    from .places import Place
    from .tools import Toolbox

__all__ = ["Pipfiles"]

_SECONDS = 120
_DEVELOP = Variant("only dev", ("--dev-only",), Wanted(only_groups=("dev",)))
_BOTH = Variant("with dev", (), Wanted(groups=("dev",)))
# pipenv repeats the section in the marker, which a requirements file has no word for.
_SECTION = re.compile(r"'[\w-]+' in dependency_groups")


class Pipfiles:
    """Compares Pipfile.locks, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, scratch: Path) -> None:
        self._tools = tools
        self._scratch = scratch
        self._installers = Installers(tools, scratch)

    def compare(self, lock: Path, label: str, where: tuple[Place, ...]) -> Tally:
        """Compare one lock in these places, with and without its development packages."""
        tally = Tally(label)
        project = copy(lock, self._scratch, _for_any_python)
        said = []
        for number, variant in enumerate((DEFAULT, _DEVELOP)):
            told = self._lines(project, variant)
            _count_hashes(tally, project, variant, told, where)
            lines = _SECTION.sub("os_name != ''", without_hashes(told))
            releases = list(_releases(lines))
            file = project.root / f"lines-{number}.txt"
            file.write_text("\n".join(line for line, _, _ in releases) + "\n", encoding="utf-8")
            wheels = project.root / f"wheels-{number}"
            put_stubs(wheels, ((name, version) for _, name, version in releases))

            def ours(place: Place, variant: Variant = variant) -> Answer:
                return _our_answer(project, place, variant)

            said.append(self._installers.compare(tally, f" {variant.label}", file, wheels, ours, where))
        for place in where:
            both = Answer(packages={**said[0][place].packages, **said[1][place].packages})
            tally.count(f"uv {place} {_BOTH.label}", both, _our_answer(project, place, _BOTH))
        shutil.rmtree(self._scratch / project.case)
        return tally

    def _lines(self, project: Copy, variant: Variant) -> str:
        pipenv = self._tools.tool("pipenv") / "pipenv"
        done = subprocess.run(
            [pipenv, "requirements", "--hash", *variant.arguments],
            cwd=project.root,
            env=self._tools.environ({"PIPENV_IGNORE_VIRTUALENVS": "1", "PIPENV_VENV_IN_PROJECT": "1"}),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return done.stdout


def _for_any_python(text: str, case: str) -> str:
    document = json.loads(text)
    document["_meta"].pop("requires", None)
    return json.dumps(document)


def _releases(lines: str) -> Iterator[tuple[str, str, str]]:
    """Yield line, name and version of every pinned requirement; what comes from elsewhere has no version."""
    for line in lines.splitlines():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        for specifier in requirement.specifier:
            yield line, requirement.name, specifier.version


def _count_hashes(tally: Tally, project: Copy, variant: Variant, told: str, where: Sequence[Place]) -> None:
    """Compare the hashes of every release that is selected somewhere; they are the same everywhere."""
    ours = {}
    for place in where:
        ours.update(
            {
                str(pin.name): _joined(f"{one.algorithm}:{one.value}" for one in pin.hashes)
                for pin in _releases_of(project, place, variant)
            }
        )
    theirs = {}
    for line in told.splitlines():
        words, *hashes = line.split(" --hash=")
        for _, name, _ in _releases(words):
            theirs[str(canonicalize_name(name))] = _joined(hashes)
    tally.count_files(f"hashes {variant.label}", {name: theirs.get(name, "none") for name in ours}, ours)


def _joined(hashes: Iterable[str]) -> str:
    return " ".join(sorted(hashes)) or "none"


def _releases_of(project: Copy, place: Place, variant: Variant) -> list[Pin]:
    pins = project.select(place, variant.wanted)
    return [pin for pin in pins if pin.source.kind == "registry"]


def _our_answer(project: Copy, place: Place, variant: Variant) -> Answer:
    return answer_of(lambda: _releases_of(project, place, variant))
