"""Pinned requirements files: which lines uv and pip install.

Both get a copy without hashes, whose direct URLs lead to stubs, and a directory with one stub for each pinned
release: which lines apply is their own answer. uv is asked for every place, pip for this machine, since it
cannot be told the markers of another. `test_requirements_corpus` compares the hashes, line by line.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from sprawld.errors import SprawlError
from sprawld.lockfiles.artifacts import file_name_of
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.requirements import RequirementsLock
from sprawld.model import Wanted

from .ask_uv import told_by_pip_install
from .places import HERE, Place
from .stubs import ARCHIVES, StubServer, stub
from .tally import Answer, Tally, answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sprawld.model import Pin

    from .tools import Toolbox

__all__ = ["Installers", "Requirements", "put_stubs", "without_hashes"]

_SECONDS = 120
_counter = itertools.count()
_LOCAL = ("directory", "editable", "path")
_PIP_PYTHONS = ("3.12", "3.13")
_HASH = re.compile(r"(?:\\\r?\n|\s)*--hash[= ]\S+|--require-hashes\b|#sha256=\w+")
_URL = re.compile(r"https?://[^\s;#]+")
_REPOSITORY = re.compile(r"^(?:-e )?[^\n#]*git\+[^\n]*$", re.MULTILINE)
TREES = "names directories that were not kept"
NOT_OF_UV = "uv reads UTF-8 only, and no relative find-links"
NOT_PINNED = "is no lock: not pinned, or does not parse"


class Installers:
    """uv and pip, asked what of a file of pinned lines they would install, from a directory of stubs."""

    def __init__(self, tools: Toolbox, scratch: Path) -> None:
        self._tools = tools
        self._target = scratch / "target"

    def compare(
        self,
        tally: Tally,
        label: str,
        file: Path,
        wheels: Path,
        ours: Callable[[Place], Answer],
        where: Sequence[Place],
    ) -> dict[Place, Answer]:
        """Count what both say in these places; `wheels` has a stub for every line. Returns what uv says."""
        said = {}
        for place in where:
            mine = ours(place)
            theirs = said[place] = self._uv(file, wheels, place)
            # What pip reads and uv does not is compared with pip's answer.
            excuse = NOT_OF_UV if re.search("failed to decode|Invalid URL in", theirs.text) else ""
            tally.count(f"uv {place}{label}", theirs, mine, excuse)
            if place.platform == HERE and place.version in _PIP_PYTHONS:
                tally.count(f"pip {place}{label}", self._pip(file, wheels, place), mine)
        return said

    def _uv(self, lock: Path, wheels: Path, place: Place) -> Answer:
        command = [
            str(self._tools.uv),
            "pip",
            "install",
            "--dry-run",
            "--no-cache",
            "--no-deps",
            "--no-index",
        ]
        command += ["--find-links", str(wheels), "--python", str(place.python)]
        command += ["--target", str(self._target), "-r", lock.name]
        if place.platform != HERE:
            command += ["--python-platform", place.platform]
        done = self._run(command, lock.parent)
        if done.returncode:
            return Answer(refused="?", text=" ".join(done.stderr.split())[-300:])
        return Answer(packages=told_by_pip_install(done.stderr))

    def _pip(self, lock: Path, wheels: Path, place: Place) -> Answer:
        pip = self._tools.tool("pip") / "python"
        command = [str(pip), "-m", "pip", "--python", str(self._tools.venv(place.python)), "install", "-q"]
        command += ["--dry-run", "--no-cache-dir", "--no-deps", "--no-index", "--ignore-installed"]
        command += ["--find-links", str(wheels), "--report", "-", "-r", lock.name]
        done = self._run(command, lock.parent)
        if done.returncode:
            return Answer(refused="?", text=" ".join(done.stderr.split())[-300:])
        items = [item["metadata"] for item in json.loads(done.stdout)["install"]]
        return Answer(packages={str(canonicalize_name(item["name"])): item["version"] for item in items})

    def _run(self, command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
        environ = self._tools.environ()
        return subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, timeout=_SECONDS, check=False
        )


class Requirements:
    """Compares requirements files, one after the other, in a scratch directory."""

    def __init__(self, tools: Toolbox, server: StubServer, scratch: Path) -> None:
        self._installers = Installers(tools, scratch)
        self._server = server
        self._scratch = scratch

    def compare(self, lock: Path, label: str, where: tuple[Place, ...]) -> Tally:
        """Compare one file in these places."""
        tally = Tally(label)
        try:
            ours = read_lock(lock)
        except SprawlError as error:
            tally.excluded[f"{NOT_PINNED} ({error.code})"] += 1
            return tally
        assert isinstance(ours, RequirementsLock)
        if any(entry.direct and entry.direct.kind in _LOCAL for entry in ours.entries):
            tally.excluded[TREES] += 1
            return tally
        directory = self._scratch / f"requirements-{next(_counter)}"
        copied = self._copy(lock, directory)
        wheels = directory / "wheels"
        put_stubs(wheels, ((e.name, e.version) for e in ours.entries if e.direct is None and e.version))
        self._installers.compare(tally, "", copied, wheels, lambda place: _our_answer(ours, place), where)
        shutil.rmtree(directory)
        return tally

    def _copy(self, lock: Path, scratch: Path) -> Path:
        """Return the copied file."""
        directory = scratch / "copy"
        # Some include files from the directory above.
        shutil.copytree(lock.parent.parent, directory)
        for path in directory.rglob("*.txt"):
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # the odd encodings of the corpus have neither hashes nor URLs
            if path.read_bytes().count(b"\r\n"):
                text = text.replace("\n", "\r\n")
            text = _URL.sub(self._redirected, without_hashes(text))
            path.write_text(text, encoding="utf-8", newline="")
        return directory / lock.parent.name / lock.name

    def _redirected(self, match: re.Match[str]) -> str:
        filename = file_name_of(match[0])
        return self._server.url("requirements", filename) if filename.endswith(ARCHIVES) else match[0]


def without_hashes(text: str) -> str:
    """Return requirements without their hashes, which stubs cannot have, and without repositories."""
    return _REPOSITORY.sub("", _HASH.sub("", text))


def put_stubs(directory: Path, releases: Iterable[tuple[str, str]]) -> None:
    """Put one stub for each (name, version) into a new directory."""
    directory.mkdir(parents=True)
    for name, version in releases:
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        (directory / filename).write_bytes(stub(filename))


def _our_answer(lock: RequirementsLock, place: Place) -> Answer:
    def select() -> list[Pin]:
        return [pin for pin in lock.select(place.environment, Wanted()) if pin.source.kind != "git"]

    return answer_of(select)
