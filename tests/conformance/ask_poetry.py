"""poetry.lock: what `poetry install --dry-run --no-root` would install, and which files its chooser takes.

Packages: poetry runs in an empty environment of each interpreter of this machine; for other platforms its
installer is asked in its own process (`elsewhere`). A lock whose content hash another release of poetry
computed is given the one this release computes; it would be refused unread.
Files: a dry run chooses none. poetry's own `Chooser` is asked, in poetry's own process, with the tags of each
place and the file names of the lock.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from sprawld.errors import SprawlError
from sprawld.lockfiles.poetry import PoetryLock
from sprawld.model import Wanted

from .chosen import compare_files
from .copies import Copy, copy
from .elsewhere import answer_from, ask_elsewhere
from .places import HERE, Place
from .tally import Answer, Tally, answer_of, difference
from .variants import DEFAULT, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sprawld.model import Pin

    from .tools import Toolbox

__all__ = ["PoetryLocks"]

_SECONDS = 120
_HASH = """
from pathlib import Path
from poetry.factory import Factory
print(Factory().create_poetry(Path(".")).locker._content_hash)
"""
_REFUSALS = {
    "Current Python version .* is not allowed|not supported by the project": "select.requires-python",
    r"Group\(s\) not found": "select.unknown-group",
    "Extra .* is not specified|not specified in": "select.unknown-extra",
}
_UNREAD = {
    "Unsupported lock file|lock file is not compatible|TypeError|KeyError": (
        "poetry no longer reads locks of that age"
    ),
    "is invalid|configuration is invalid": "poetry no longer reads a project file of that age",
    "does not exist": "poetry wants a local project that was not kept",
}
OVER_INSTALLS = "poetry takes the requirements of extras into account that were not asked for"


class PoetryLocks:
    """Compares poetry.lock files, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, scratch: Path) -> None:
        self._tools = tools
        self._scratch = scratch

    def compare(self, lock: Path, label: str, where: tuple[Place, ...], *, thorough: bool) -> Tally:
        """Compare one lock in these places; `thorough` adds every extra and group in one of them."""
        tally = Tally(label)
        copied = copy(lock, self._scratch)
        self._refresh(copied)
        here = [place for place in where if place.platform == HERE]
        for place in here:
            for variant in _variants():
                self._packages(tally, copied, place, variant)
        self._elsewhere(tally, copied, [place for place in where if place.platform != HERE])
        fitting = [place for place in here if not _our_answer(copied, place, DEFAULT).refused]
        if thorough and fitting:
            for variant in _every_option(copied):
                self._packages(tally, copied, fitting[-1], variant)
        selected = [(place, _our_pins(copied, place)) for place in where]
        compare_files(tally, self._tools, "poetry", selected)
        shutil.rmtree(self._scratch / copied.case)
        return tally

    def _refresh(self, project: Copy) -> None:
        python = self._tools.tool("poetry") / "python"
        computed = self._run([str(python), "-c", _HASH], project, None)
        text = project.lock.read_text(encoding="utf-8")
        if computed.returncode == 0:
            text = re.sub(
                '^content-hash = "[^"]*"', f'content-hash = "{computed.stdout.strip()}"', text, flags=re.M
            )
            project.lock.write_text(text, encoding="utf-8")

    def _elsewhere(self, tally: Tally, project: Copy, where: Sequence[Place]) -> None:
        asked = [(place, variant) for place in where for variant in _variants()]
        options = [(place, variant.wanted.all_extras, variant.wanted.all_groups) for place, variant in asked]
        answers = ask_elsewhere(self._tools, "poetry", project.root, options)
        for (place, variant), answer in zip(asked, answers, strict=True):
            _count(tally, project, place, variant, answer_from(answer, _REFUSALS))

    def _packages(self, tally: Tally, project: Copy, place: Place, variant: Variant) -> None:
        _count(tally, project, place, variant, self._dry_run(project, place, variant))

    def _dry_run(self, project: Copy, place: Place, variant: Variant) -> Answer:
        poetry = self._tools.tool("poetry") / "poetry"
        command = [str(poetry), "install", "--dry-run", "--no-root", "--no-ansi", "--no-interaction"]
        done = self._run([*command, *variant.arguments], project, place)
        said = f"{done.stdout}\n{done.stderr}"
        if done.returncode:
            flat = " ".join(said.split())
            code = next((code for pattern, code in _REFUSALS.items() if re.search(pattern, flat)), "?")
            return Answer(refused=code, text=flat[-400:])
        lines = re.findall(r"^  - Installing (\S+) \(([^\s)]+)( [^)\n]*)?\)$", said, re.MULTILINE)
        return Answer(packages={name: None if direct else version for name, version, direct in lines})

    def _run(
        self, command: Sequence[str], project: Copy, place: Place | None
    ) -> subprocess.CompletedProcess[str]:
        venv = {} if place is None else {"VIRTUAL_ENV": str(self._tools.venv(place.python))}
        environ = self._tools.environ(venv)
        return subprocess.run(
            command,
            cwd=project.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def _count(tally: Tally, project: Copy, place: Place, variant: Variant, theirs: Answer) -> None:
    ours = _our_answer(project, place, variant)
    excuse = next((reason for pattern, reason in _UNREAD.items() if re.search(pattern, theirs.text)), "")
    if not theirs.refused and not ours.refused and _over_installs(project, theirs, ours):
        excuse = OVER_INSTALLS
    tally.count(f"{place} {variant.label}", theirs, ours, excuse)


def _over_installs(project: Copy, theirs: Answer, ours: Answer) -> bool:
    """Tell whether all that differs is more packages, of a lock that has to be solved again."""
    assert isinstance(project.ours, PoetryLock)
    surplus = theirs.packages.keys() - ours.packages.keys()
    less = Answer(
        packages={name: version for name, version in theirs.packages.items() if name not in surplus}
    )
    return project.ours.version < (2, 1) and bool(surplus) and not difference(less, ours)


def _variants() -> tuple[Variant, ...]:
    return (
        DEFAULT,
        Variant("all extras", ("--all-extras",), Wanted(all_extras=True)),
        Variant("all groups", ("--all-groups",), Wanted(all_groups=True)),
    )


def _every_option(project: Copy) -> Iterator[Variant]:
    lock = project.ours
    if not isinstance(lock, PoetryLock):
        return
    for extra in sorted(lock.extras):
        yield Variant(f"extra {extra}", ("--extras", extra), Wanted(extras=(extra,)))
    for group in lock.settings.groups:
        yield Variant(f"only {group}", ("--only", group), Wanted(only_groups=(group,)))
        if group != "main":
            yield Variant(f"with {group}", ("--with", group), Wanted(groups=(group,)))
            yield Variant(f"without {group}", ("--without", group), Wanted(no_groups=(group,)))


def _our_pins(project: Copy, place: Place) -> tuple[Pin, ...]:
    """Return everything that some option selects there; nothing where we refuse."""
    try:
        return project.select(place, Wanted(all_extras=True, all_groups=True))
    except SprawlError:
        return ()


def _our_answer(project: Copy, place: Place, variant: Variant) -> Answer:
    return answer_of(lambda: project.select(place, variant.wanted))
