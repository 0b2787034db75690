"""pdm.lock: what `pdm sync --dry-run --no-self` would install, and which files pdm's finder takes.

Packages: pdm runs in an empty environment of each interpreter of this machine; for other platforms the code
behind `pdm sync` is asked in its own process (`elsewhere`).
Files: a dry run chooses none. pdm's own order is asked, in pdm's own process, for the platform of each place
and the file names of the lock.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from sprawld.errors import SprawlError
from sprawld.lockfiles.pdm import PdmLock
from sprawld.model import Wanted

from .chosen import compare_files
from .copies import Copy, copy
from .elsewhere import answer_from, ask_elsewhere
from .places import HERE, Place
from .tally import Answer, Tally, answer_of, difference
from .variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sprawld.model import Pin

    from .tools import Toolbox

__all__ = ["PdmLocks"]

_SECONDS = 120
_EVERYTHING = Variant("default", (), Wanted(all_groups=True))
_PRODUCTION = Variant("production", ("--prod",), Wanted(no_dev=True))
_ANOTHER = "virtualenv is being created for you"
"""pdm then goes on with another Python, the newest that fits."""
_REFUSALS = {
    "Expected package name at the start": "lock.unsupported",
    "does not match requires-python|requires-python.*not satisf": "select.requires-python",
    "is not compatible with the lock|not compatible with any of the lock targets|No compatible lock target": (
        "select.unsupported-environment"
    ),
}
ROUNDED = "pdm takes `python_version <= '3.9'` to exclude 3.9.1 and later (repaired in its library since)"
WRONG_PYTHON = "pdm selects for a Python that the project and the lock exclude; we refuse"


class PdmLocks:
    """Compares pdm.lock files, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, scratch: Path) -> None:
        self._tools = tools
        self._scratch = scratch

    def compare(self, lock: Path, label: str, where: tuple[Place, ...], *, thorough: bool) -> Tally:
        """Compare one lock in these places; `thorough` adds every group in one of them."""
        tally = Tally(label)
        copied = copy(lock, self._scratch)
        here = [place for place in where if place.platform == HERE]
        for place in here:
            for variant in (_EVERYTHING, _PRODUCTION):
                self._packages(tally, copied, place, variant)
        self._elsewhere(tally, copied, [place for place in where if place.platform != HERE])
        fitting = [place for place in here if not _our_answer(copied, place, _EVERYTHING).refused]
        if thorough and fitting:
            for variant in _every_option(copied):
                self._packages(tally, copied, fitting[-1], variant)
        selected = [(place, _our_pins(copied, place)) for place in where]
        compare_files(tally, self._tools, "pdm", selected)
        shutil.rmtree(self._scratch / copied.case)
        return tally

    def _elsewhere(self, tally: Tally, project: Copy, where: Sequence[Place]) -> None:
        asked = [(place, variant) for place in where for variant in (_EVERYTHING, _PRODUCTION)]
        options = [(place, variant.wanted.all_extras, variant.wanted.all_groups) for place, variant in asked]
        answers = ask_elsewhere(self._tools, "pdm", project.root, options)
        for (place, variant), answer in zip(asked, answers, strict=True):
            _count(tally, project, place, variant, answer_from(answer, _REFUSALS))

    def _packages(self, tally: Tally, project: Copy, place: Place, variant: Variant) -> None:
        _count(tally, project, place, variant, self._dry_run(project, place, variant))

    def _dry_run(self, project: Copy, place: Place, variant: Variant) -> Answer:
        pdm = self._tools.tool("pdm") / "pdm"
        environ = self._tools.environ(
            {"VIRTUAL_ENV": str(self._tools.venv(place.python)), "PDM_CHECK_UPDATE": "0", "NO_COLOR": "1"}
        )
        done = subprocess.run(
            [pdm, "sync", "--dry-run", "--no-self", *variant.arguments],
            cwd=project.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        (project.root / ".pdm-python").unlink(missing_ok=True)
        shutil.rmtree(project.root / ".venv", ignore_errors=True)
        flat = " ".join(f"{done.stdout}\n{done.stderr}".split())
        if _ANOTHER in flat:
            return Answer(refused="select.requires-python", text=flat[:400])
        if done.returncode:
            code = next((code for pattern, code in _REFUSALS.items() if re.search(pattern, flat)), "?")
            return Answer(refused=code, text=flat[-400:])
        lines = re.findall(r"^  - (\S+) (\S+)$", done.stdout, re.MULTILINE)
        return Answer(packages={str(canonicalize_name(name)): version for name, version in lines})


def _count(tally: Tally, project: Copy, place: Place, variant: Variant, theirs: Answer) -> None:
    ours = _our_answer(project, place, variant)
    excuse = WRONG_PYTHON if ours.refused == "select.requires-python" else ""
    if not theirs.refused and not ours.refused and _is_rounded(project, theirs, ours):
        excuse = ROUNDED
    tally.count(f"{place} {variant.label}", theirs, ours, excuse)


def _is_rounded(project: Copy, theirs: Answer, ours: Answer) -> bool:
    """Tell whether all that differs is packages with such a marker."""
    assert isinstance(project.ours, PdmLock)
    surplus = ours.packages.keys() - theirs.packages.keys()
    less = {name: version for name, version in ours.packages.items() if name not in surplus}
    markers = [
        entry.marker.text if entry.marker else ""
        for name in surplus
        for entry in project.ours.entries[canonicalize_name(name)]
    ]
    return (
        bool(markers)
        and all("python_version <=" in text for text in markers)
        and not difference(theirs, Answer(packages=less))
    )


def _every_option(project: Copy) -> Iterator[Variant]:
    lock = project.ours
    if not isinstance(lock, PdmLock):
        return
    for group in sorted((lock.locked_groups & lock.settings.groups) - {"default"}):
        # Without --prod every development group would come along, unless one of them is named.
        prod = () if group in lock.settings.development else ("--prod",)
        yield Variant(f"only {group}", ("--no-default", *prod, "-G", group), Wanted(only_groups=(group,)))


def _our_pins(project: Copy, place: Place) -> tuple[Pin, ...]:
    """Return everything that some option selects there; nothing where we refuse."""
    try:
        return project.select(place, Wanted(all_groups=True))
    except SprawlError:
        return ()


def _our_answer(project: Copy, place: Place, variant: Variant) -> Answer:
    return answer_of(lambda: project.select(place, variant.wanted))
