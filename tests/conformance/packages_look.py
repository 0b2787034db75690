"""Looks at one lock in both environments, package by package, and tells what differs."""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .packages_compare import (
    distribution_differences,
    import_differences,
    neutral,
    ran_difference,
    whole_differences,
)
from .packages_locks import Lock
from .packages_sides import Ran, Side, Workplace

__all__ = ["Looked", "Package", "look"]

PROBE = Path(__file__).with_name("packages_probe.py")
PROBE_SECONDS = 300
SCRIPT_SECONDS = 60
MORE_TRIES = 2
"""Some packages do not do the same thing twice in one environment."""


@dataclass(slots=True)
class Package:
    """What was compared of one distribution."""

    name: str
    version: str
    asked: bool = True
    """One of the list, or only needed by one of it."""
    modules: int = 0
    raising: int = 0
    """How many of the modules cannot be imported, for the same reason in both."""
    scripts: int = 0
    packed: int = 0
    """Modules that came from packs, in the run with packs."""
    hook: bool = False
    """It was also imported by the base interpreter, turned into the set by the start-up hook."""
    varies: bool = False
    """It was the same only when tried again."""
    different: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Looked:
    """What was compared of one lock."""

    python: str
    packages: list[Package] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    """What differs between the environments as such."""
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)


@dataclass(slots=True)
class _Look:
    """One lock that is looked at."""

    place: Workplace
    venv: Side
    path_set: Side
    hook: tuple[str, dict[str, str]] | None
    """The interpreter and the variables of the in-process route, if it is to be tried."""
    known: dict[str, tuple[Ran, dict[str, Any]]] = field(default_factory=dict)
    """What imports did in the venv: compared with each of the ways that a path set has."""

    def ask(self, side: Side, task: str, job: dict[str, Any]) -> tuple[Ran, dict[str, Any]]:
        """Run the probe; its answer is empty if it did not get to one."""
        with tempfile.TemporaryDirectory(dir=self.place.homes) as directory:
            question, answer = Path(directory, "job"), Path(directory, "answer")
            question.write_text(json.dumps(job))
            python, extra = side.python, None
            if side is not self.venv and job.get("hook") and self.hook is not None:
                python, extra = self.hook
            ran = self.place.run(
                side, (python, str(PROBE), task, str(question), str(answer)), PROBE_SECONDS, extra
            )
            found = json.loads(answer.read_text()) if answer.exists() else {}
        return ran, neutral(found, side.prefix)

    def imports(self, package: Package, modules: Sequence[str], **how: bool) -> list[str]:
        """Import the modules of one package on both sides."""
        label = "".join(f" {key.replace('_', ' ')}" for key in how) or " with packs"
        job = {"modules": list(modules), **how}

        def once() -> list[str]:
            they_ran, they = self.known.pop(package.name, None) or self.ask(self.venv, "imports", job)
            we_ran, we = self.ask(self.path_set, "imports", job)
            if not they or not we:
                return ran_difference("import", they_ran, we_ran)
            self.known[package.name] = they_ran, they
            package.raising = sum(one["outcome"] != "imported" for one in they["found"].values())
            package.packed = max(package.packed, we["packed"])
            return import_differences(they, we) + ran_difference("import", they_ran, we_ran)

        return [f"{line} ({label.strip()})" for line in self._tried(package, once)]

    def script(self, package: Package, name: str, option: str) -> list[str]:
        """Run a script of one package on both sides."""

        def once() -> list[str]:
            they, we = (
                self.place.run(side, (f"{side.prefix}/bin/{name}", option), SCRIPT_SECONDS)
                for side in (self.venv, self.path_set)
            )
            return ran_difference(f"{name} {option}", they, we)

        return self._tried(package, once)

    def _tried(self, package: Package, once: Callable[[], list[str]]) -> list[str]:
        found = once()
        if not found:
            return found
        for _ in range(MORE_TRIES):
            self.known.pop(package.name, None)
            if not once():
                package.varies = True
                return []
        return found

    def package(self, package: Package, theirs: dict[str, Any], ours: dict[str, Any], packs: bool) -> None:
        """Compare one package in every way; `packs` tells whether this is the run after the first."""
        modules = theirs.get("roots", [])
        if packs:
            package.different += self.imports(package, modules)
            if self.hook is not None:
                package.hook = True
                package.different += self.imports(package, modules, hook=True)
            return
        package.modules = len(modules)
        package.different += distribution_differences(theirs, ours)
        package.different += self.imports(package, modules, without_packs=True)
        names = [file.rpartition("/")[2] for file in theirs.get("files", ()) if "/../bin/" in f"/{file}"]
        package.scripts = len(names)
        for name in names:
            for option in ("--help", "--version"):
                package.different += self.script(package, name, option)


def look(
    lock: Lock,
    version: str,
    python: Path,
    place: Workplace,
    names: Sequence[str],
    *,
    hook: bool,
    jobs: int,
) -> Looked:
    """Compare the packages `names` of a lock; ToolMissingError if uv cannot install it."""
    looked = Looked(python=version)
    clock = _Clock(looked)
    versions = lock.versions()
    packages = [
        Package(name=name, version=versions.get(name, ""), asked=name in lock.asked) for name in names
    ]
    looked.packages = packages
    try:
        path_set = place.path_set(lock.path, python)
    except AssertionError as error:
        refusal = re.search(r"^sprawl: .*", str(error), re.MULTILINE)
        for package in packages:
            package.different.append(f"not realised: {refusal[0] if refusal else error}")
        return looked
    clock.lap("realise")
    venv = place.venv(lock.path, python, path_set)
    clock.lap("venv")
    variables = place.hook(python, f"python{version}") if hook else None
    route = (str(python), variables | {"VIRTUAL_SPRAWL_LOCK": str(lock.path)}) if variables else None
    looking = _Look(place, venv, path_set, route)
    theirs, ours = (_distributions(looking, side, names) for side in (venv, path_set))
    with ThreadPoolExecutor(jobs) as pool:
        looked.whole = _whole(looking)
        for packs in (False, True):
            if packs:
                place.packs_are_made(lock.path, python)
                clock.lap("packs")
            list(
                pool.map(
                    lambda package, packs=packs: looking.package(
                        package, theirs[package.name], ours[package.name], packs
                    ),
                    packages,
                )
            )
            clock.lap("second" if packs else "first")
    return looked


def _distributions(looking: _Look, side: Side, names: Sequence[str]) -> dict[str, Any]:
    ran, found = looking.ask(side, "distributions", {"names": list(names)})
    if not found:
        raise AssertionError(f"no metadata: {ran.output[-400:]}")
    return found


def _whole(looking: _Look) -> list[str]:
    (_, theirs), (_, ours) = (looking.ask(side, "whole", {}) for side in (looking.venv, looking.path_set))
    return whole_differences(theirs, ours)


class _Clock:
    """Notes how long each part took."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked
        self._start = time.monotonic()
        self._turn = threading.Lock()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._looked.seconds[name] = round(now - self._start, 1)
        self._start = now
