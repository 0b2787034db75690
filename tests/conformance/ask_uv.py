"""uv.lock and locks of scripts: what uv itself selects, and which files it fetches.

Packages: `uv sync --frozen --dry-run --offline` on a copy of the lock and its project files, unchanged.
Files: `uv sync --frozen` on another copy, whose URLs lead to stubs; what uv fetches is its choice.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from random import Random
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from sprawld.errors import SprawlError
from sprawld.lockfiles.artifacts import wheel_parts
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.find import find_lock
from sprawld.lockfiles.preference import preference_of
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.uv import UvLock
from sprawld.lockfiles.uv_roots import find_roots
from sprawld.model import Wanted

from .copies import Copy, copy, read, redirect_uv
from .places import HERE, Place
from .tally import Answer, Tally, answer_of
from .variants import DEFAULT, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sprawld.model import Choice

    from .stubs import StubServer
    from .tools import Toolbox

__all__ = ["UvLocks", "by_name", "code_of", "told_by_pip_install"]

_SECONDS = 120
_MIXTURES = 8
_NO_BUILD = "marked as `--no-build`"

_REFUSALS = {
    "incompatible with the .*Python requirement": "select.requires-python",
    "or wheel for the current platform|but has no binary distribution": "select.no-wheel",
    "the following groups and extras|are incompatible with the|declared as conflicting": "select.conflict",
    "is not compatible with the lockfile's supported environments": "select.unsupported-environment",
    "Extra .* is not defined": "select.unknown-extra",
    "Group .* is not defined": "select.unknown-group",
}
"""What uv says -> our code for the same reason."""


def code_of(text: str) -> str:
    """Return our code for a refusal of uv; "?" for one we have none for."""
    flat = " ".join(text.split())
    return next((code for pattern, code in _REFUSALS.items() if re.search(pattern, flat)), "?")


_ALL_EXTRAS = Variant("all extras", ("--all-extras",), Wanted(all_extras=True))
_ALL_GROUPS = Variant("all groups", ("--all-groups",), Wanted(all_groups=True))
_EVERYTHING = Variant(
    "everything", ("--all-extras", "--all-groups"), Wanted(all_extras=True, all_groups=True)
)
_NO_DEV = Variant("no dev", ("--no-dev",), Wanted(no_dev=True))


class UvLocks:
    """Compares locks of uv, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, server: StubServer, scratch: Path) -> None:
        self._tools = tools
        self._server = server
        self._scratch = scratch

    def compare(self, lock: Path, label: str, where: tuple[Place, ...], *, thorough: bool) -> Tally:
        """Compare one lock in these places; `thorough` adds every extra, group and member in one place."""
        tally = Tally(label)
        plain = copy(lock, self._scratch)
        stubbed = copy(lock, self._scratch, lambda text, case: redirect_uv(text, self._server, case))
        variants = (DEFAULT,) if plain.script else (DEFAULT, _ALL_EXTRAS, _ALL_GROUPS)
        for place in where:
            for variant in variants:
                self._packages(tally, plain, place, variant)
            self._files(tally, stubbed, place, variants)
        fitting = [place for place in where if not _our_answer(plain, place, DEFAULT).refused]
        if thorough and fitting and plain.script is None:
            # Which options there are does not depend on the place: one place shows each.
            for variant in _every_option(plain.lock):
                self._packages(tally, plain, fitting[0], variant)
            for name, member in _members(plain):
                alone = Variant(f"member {name}", ("--package", name), Wanted())
                theirs = self._dry_run(plain, fitting[0], alone)
                tally.count(str(alone), theirs, _our_answer(member, fitting[0], DEFAULT))
        for project in (plain, stubbed):
            shutil.rmtree(self._scratch / project.case)
        return tally

    # --- packages

    def _packages(self, tally: Tally, project: Copy, place: Place, variant: Variant) -> None:
        theirs = self._dry_run(project, place, variant)
        ours = _our_answer(project, place, variant)
        if _NO_BUILD in theirs.text and _sdists(project, place, variant):
            # A project that forbids builds: uv says so here, we when the set is made.
            ours = theirs
        tally.count(f"{place} {variant.label}", theirs, ours)

    def _dry_run(self, project: Copy, place: Place, variant: Variant) -> Answer:
        done = self._sync(project, place, [*variant.arguments, "--dry-run", "--offline"])
        if done.returncode:
            return Answer(refused=code_of(done.stderr), text=_last_words(done.stderr))
        changes: list[dict[str, Any]] = json.loads(done.stdout)["sync"]["changes"]
        return Answer(packages={item["name"]: item.get("version") for item in changes})

    def _sync(self, project: Copy, place: Place, more: list[str]) -> subprocess.CompletedProcess[str]:
        command = [str(self._tools.uv), "sync", "--frozen", "--no-cache", "--output-format", "json"]
        command += ["--script", str(project.script)] if project.script else []
        command += ["--python", str(place.python), *more]
        if place.platform != HERE:
            command += ["--python-platform", place.platform]
        return subprocess.run(
            command,
            cwd=project.root,
            env=self._tools.environ(),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    # --- files

    def _files(self, tally: Tally, project: Copy, place: Place, variants: tuple[Variant, ...]) -> None:
        """Compare the files of the largest selection that we do not refuse."""
        for variant in ((*variants, _EVERYTHING) if project.script is None else variants)[::-1]:
            try:
                choices = _our_choices(project, place, variant)
            except SprawlError:
                continue
            done = self._sync(project, place, [*variant.arguments, *_without(choices)])
            if _NO_BUILD in done.stderr:
                apart = _without(choices, sdists=True)
                choices = tuple(choice for choice in choices if choice.kind == "wheel")
                done = self._sync(project, place, [*variant.arguments, *apart])
            shutil.rmtree(project.root / ".venv", ignore_errors=True)
            asked = self._server.take(project.case)
            label = f"{place} {variant.label}"
            if done.returncode:
                tally.different.append(f"{label}: files: uv fails: {_last_words(done.stderr)}")
                return
            ours = {
                str(choice.pin.name): choice.artifact.filename
                for choice in choices
                if _has_file(choice) and choice.artifact
            }
            tally.count_files(label, by_name(asked), ours)
            return


def _our_choices(project: Copy, place: Place, variant: Variant) -> tuple[Choice, ...]:
    """Return what we select there; a virtual project is nothing to install."""
    pins = project.select(place, variant.wanted)
    order = preference_of("uv")
    found = (choose(pin, place.environment, hashed=False, preference=order) for pin in pins)
    return tuple(choice for choice in found if choice.kind != "virtual")


def _our_answer(project: Copy, place: Place, variant: Variant) -> Answer:
    return answer_of(lambda: [choice.pin for choice in _our_choices(project, place, variant)])


def _has_file(choice: Choice) -> bool:
    """Tell whether uv fetches a file for it; what a URL names directly has any name, its stub cannot."""
    direct = choice.pin.source.kind in ("url", "path") and choice.kind == "sdist"
    return choice.artifact is not None and choice.artifact.url is not None and not direct


def _without(choices: tuple[Choice, ...], *, sdists: bool = False) -> list[str]:
    """Return the options that leave out what has no file, and with `sdists` what has to be built."""
    apart = [
        choice.pin.name for choice in choices if not _has_file(choice) or (sdists and choice.needs_build)
    ]
    return [word for name in apart for word in ("--no-install-package", name)]


def _sdists(project: Copy, place: Place, variant: Variant) -> bool:
    try:
        return any(choice.kind == "sdist" for choice in _our_choices(project, place, variant))
    except SprawlError:
        return False


def by_name(filenames: Iterable[str]) -> dict[str, str]:
    """Return package -> file name, several in one string."""
    found: dict[str, list[str]] = {}
    for filename in filenames:
        parts = wheel_parts(filename)
        name = parts.name if parts else canonicalize_name(filename.rpartition("-")[0])
        found.setdefault(name, []).append(filename)
    return {name: " and ".join(names) for name, names in found.items()}


def told_by_pip_install(text: str) -> dict[str, str | None]:
    """Return name -> version of what `uv pip install --dry-run` would install; None for direct sources."""
    lines = re.findall(r"^ \+ (\S+?)(?:==(\S+))?(?: @ \S+| \(from .*\))?$", text, re.MULTILINE)
    return {name: version or None for name, version in lines}


def _last_words(text: str) -> str:
    return " ".join(re.sub(r"^Using .*$", "", text, flags=re.MULTILINE).split())[:300]


# --- options


def _every_option(lock: Path) -> Iterator[Variant]:
    """Yield each extra and group by itself, pairs that conflict, and some mixtures."""
    try:
        found = read_lock(lock)
        assert isinstance(found, UvLock)
        roots = find_roots(found)
    except SprawlError:
        return
    extras = sorted({str(extra) for root in roots for extra in root.extras})
    groups = sorted(
        {str(group) for held in (found.groups, *(root.groups for root in roots)) for group in held}
    )
    yield _NO_DEV
    for extra in extras:
        yield Variant(f"extra {extra}", ("--extra", extra), Wanted(extras=(extra,)))
    for group in groups:
        yield Variant(f"group {group}", ("--group", group), Wanted(groups=(group,)))
        yield Variant(f"only {group}", ("--only-group", group), Wanted(only_groups=(group,)))
        yield Variant(f"no {group}", ("--no-group", group), Wanted(no_groups=(group,)))
    chance = Random(f"{len(extras)} {len(groups)}")
    for number in range(_MIXTURES if len(extras) + len(groups) > 2 else 0):
        with_extras = tuple(chance.sample(extras, min(len(extras), chance.randint(0, 3))))
        with_groups = tuple(chance.sample(groups, min(len(groups), chance.randint(0, 3))))
        arguments = [word for name in with_extras for word in ("--extra", name)]
        arguments += [word for name in with_groups for word in ("--group", name)]
        wanted = Wanted(extras=with_extras, groups=with_groups)
        yield Variant(f"mixture {number} {' '.join(arguments)}", tuple(arguments), wanted)


def _members(project: Copy) -> Iterator[tuple[str, Copy]]:
    """Yield the members of a workspace by name, each found from its own directory."""
    if not isinstance(project.ours, UvLock):
        return
    for group in project.ours.by_name.values():
        for package in group:
            directory = project.root / str(package.source.get(package.kind))
            if package.name in project.ours.members and (directory / "pyproject.toml").is_file():
                found = find_lock(directory, home=project.root.parent)
                assert found is not None
                ours = read(found.lock, found.root)
                yield package.name, Copy(found.lock, directory, project.case, ours)
