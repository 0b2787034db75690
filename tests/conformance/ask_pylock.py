"""pylock.toml: what uv, pip and packaging select from it, and which files they take.

packaging: `Pylock.select` on the lock as it is, for every place. It does not heed build tags.
uv:  `uv pip install --dry-run -r` on a copy with the local files it names, and `uv pip install` on another
     copy whose URLs lead to stubs; what uv fetches is its choice. For every place.
pip: `pip install --dry-run --report` on that other copy; for this machine, since pip cannot be told the
     markers of another. Its report names each file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import tomli
from packaging.pylock import Pylock, PylockSelectError, PylockValidationError
from packaging.utils import canonicalize_name

from sprawld.errors import SprawlError
from sprawld.lockfiles.artifacts import file_name_of
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.pylock import PylockLock
from sprawld.model import Wanted

from .ask_uv import by_name, code_of, told_by_pip_install
from .copies import Copy, copy, redirect_pylock
from .places import HERE, Place
from .tally import Answer, Tally, answer_of
from .variants import DEFAULT, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sprawld.model import Choice

    from .stubs import StubServer
    from .tools import Toolbox

__all__ = ["Pylocks"]

_SECONDS = 120
_PIP_PYTHONS = ("3.12", "3.13")
LENIENT = "the tool does not read this lock; what is wrong with it does not matter to the selection"
UNHASHED = "pip refuses repositories and directories beside files with hashes"
LATER = "both refuse, another fault of the lock first"
_REFUSALS = {
    "Not a valid `pylock.toml`|must have a `path` or `url`": "lock.invalid",
    "Invalid pylock file|PylockValidationError": "lock.invalid",
    "does not satisfy the Python version|Python requirement": "select.requires-python",
    "environment is not supported|not compatible with the lock|does not satisfy any of": (
        "select.unsupported-environment"
    ),
    "Can't verify hashes for these|cannot be installed when requiring hashes": UNHASHED,
    "No wheel found matching|or wheel for the current platform": "select.no-wheel",
}


class Pylocks:
    """Compares pylock.toml files, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, server: StubServer, scratch: Path) -> None:
        self._tools = tools
        self._server = server
        self._scratch = scratch

    def compare(self, lock: Path, label: str, where: tuple[Place, ...]) -> Tally:
        """Compare one lock in these places, with each of its extras and groups."""
        tally = Tally(label)
        plain = copy(lock, self._scratch)
        stubbed = copy(lock, self._scratch, lambda text, case: redirect_pylock(text, self._server, case))
        for place in where:
            for variant in _variants(plain):
                ours = _our_answer(plain, place, variant)
                said = f"{place} {variant.label}"
                for tool, theirs in (
                    ("packaging", _packaging(plain, place, variant)),
                    ("uv", self._uv(plain, place, variant)),
                ):
                    tally.count(f"{tool} {said}", theirs, ours, _excuse(theirs, ours))
            self._uv_files(tally, stubbed, place)
            if place.platform == HERE and place.version in _PIP_PYTHONS:
                self._pip(tally, stubbed, place)
        for project in (plain, stubbed):
            shutil.rmtree(self._scratch / project.case)
        return tally

    def _uv(self, project: Copy, place: Place, variant: Variant) -> Answer:
        done = self._uv_install(project, place, ["--dry-run", "--offline", *variant.arguments])
        if done.returncode:
            return Answer(refused=_code(done.stderr), text=" ".join(done.stderr.split())[-300:])
        return Answer(packages=told_by_pip_install(done.stderr))

    def _uv_install(
        self, project: Copy, place: Place, more: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self._tools.uv), "pip", "install", "--no-cache", "--python", str(place.python)]
        command += ["--target", str(self._scratch / project.case / "target"), "-r", project.lock.name, *more]
        if place.platform != HERE:
            command += ["--python-platform", place.platform]
        return _run(command, project.root, self._tools.environ())

    def _uv_files(self, tally: Tally, project: Copy, place: Place) -> None:
        for variant in reversed(_variants(project)):
            try:
                choices = _our_choices(project, place, variant)
            except SprawlError:
                continue
            if any(choice.artifact is None for choice in choices):
                continue  # uv would fetch and build source trees
            done = self._uv_install(project, place, variant.arguments)
            asked = self._server.take(project.case)
            shutil.rmtree(self._scratch / project.case / "target", ignore_errors=True)
            label = f"uv {place} {variant.label}"
            if done.returncode == 0:
                tally.count_files(label, by_name(asked), _our_files(choices))
            elif _code(done.stderr) != "lock.invalid":
                tally.different.append(f"{label}: files: uv fails: {' '.join(done.stderr.split())[-300:]}")
            return

    def _pip(self, tally: Tally, project: Copy, place: Place) -> None:
        pip = self._tools.tool("pip") / "python"
        command = [str(pip), "-m", "pip", "--python", str(self._tools.venv(place.python))]
        command += [
            "install",
            "--dry-run",
            "--no-cache-dir",
            "--no-deps",
            "--ignore-installed",
            "-q",
            "--report",
            "-",
        ]
        done = _run([*command, "-r", project.lock.name], project.root, self._tools.environ())
        self._server.take(project.case)
        ours = _our_answer(project, place, DEFAULT)
        label = f"pip {place} default"
        if done.returncode:
            said = " ".join(line for line in done.stderr.splitlines() if line.startswith("ERROR:"))
            theirs = Answer(refused=_code(said), text=said[-300:])
            tally.count(label, theirs, ours, _excuse(theirs, ours))
            return
        items = json.loads(done.stdout)["install"]
        told = {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in items}
        tally.count(label, Answer(packages={str(name): told[name] for name in told}), ours)
        urls = [item["download_info"]["url"] for item in items if "archive_info" in item["download_info"]]
        files = by_name(map(file_name_of, urls))
        tally.count_files(label, files, _our_files(_our_choices(project, place, DEFAULT)))


def _run(
    command: Sequence[str], directory: Path, environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, env=environ, capture_output=True, text=True, timeout=_SECONDS, check=False
    )


def _code(text: str) -> str:
    flat = " ".join(text.split())
    return next((code for pattern, code in _REFUSALS.items() if re.search(pattern, flat)), code_of(text))


def _excuse(theirs: Answer, ours: Answer) -> str:
    if theirs.refused and ours.refused:
        return LATER
    if theirs.refused == UNHASHED:
        return UNHASHED
    return LENIENT if theirs.refused == "lock.invalid" else ""


def _packaging(project: Copy, place: Place, variant: Variant) -> Answer:
    """Return what the specification's own library selects."""
    environment = place.environment
    try:
        pylock = Pylock.from_dict(tomli.loads(project.lock.read_text(encoding="utf-8")))
        default = variant.wanted.all_groups or variant.wanted.groups
        groups = {*(pylock.default_groups or ()), *variant.wanted.groups} if default else None
        if variant.wanted.all_groups:
            groups = {*(pylock.default_groups or ()), *(pylock.dependency_groups or ())}
        extras = (pylock.extras or ()) if variant.wanted.all_extras else variant.wanted.extras
        found = list(
            pylock.select(
                environment=environment.markers,  # type: ignore[arg-type]
                tags=environment.tags,
                extras=extras,
                dependency_groups=groups,
            )
        )
    except (PylockSelectError, PylockValidationError) as error:
        return Answer(refused=_code(f"{type(error).__name__} {error}"), text=str(error))
    return Answer(
        packages={
            str(package.name): str(package.version) if package.wheels or package.sdist else None
            for package, _ in found
        }
    )


def _variants(project: Copy) -> tuple[Variant, ...]:
    """Return the options that this lock has; uv adds groups to the default ones, as we do."""
    lock = project.ours
    if not isinstance(lock, PylockLock):
        return (DEFAULT,)
    named = (Variant(f"extra {name}", ("--extra", name), Wanted(extras=(name,))) for name in lock.extras)
    found = [DEFAULT, *named]
    for group in sorted(lock.groups - lock.default_groups):
        defaults = [word for name in (*sorted(lock.default_groups), group) for word in ("--group", name)]
        found.append(Variant(f"group {group}", tuple(defaults), Wanted(groups=(group,))))
    if lock.extras:
        found.append(Variant("all extras", ("--all-extras",), Wanted(all_extras=True)))
    return tuple(found)


def _our_choices(project: Copy, place: Place, variant: Variant) -> tuple[Choice, ...]:
    pins = project.select(place, variant.wanted)
    return tuple(choose(pin, place.environment, hashed=False) for pin in pins)


def _our_answer(project: Copy, place: Place, variant: Variant) -> Answer:
    return answer_of(lambda: [choice.pin for choice in _our_choices(project, place, variant)])


def _our_files(choices: Sequence[Choice]) -> dict[str, str]:
    return {str(choice.pin.name): choice.artifact.filename for choice in choices if choice.artifact}
