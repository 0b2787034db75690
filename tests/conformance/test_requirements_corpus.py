"""Requirements files and Pipfile.locks of the corpus against what can be derived without our readers.

Requirements files are parsed by pip itself, in a process of its own; Pipfile.locks are plain JSON.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sprawld.acquire.environment import describe
from sprawld.errors import SprawlError
from sprawld.lockfiles import pipfile, requirements
from sprawld.lockfiles.requirements_entry import Entry
from sprawld.model import Environment, Wanted

from .compare import corpus_directory

CORPUS = corpus_directory()
REQUIREMENTS = sorted(
    path
    for folder in ("requirements", "generated")
    for pattern in ("*.txt", "*.in")
    for path in (CORPUS / folder).rglob(pattern)
)
PIPFILES = sorted((CORPUS / "pipfile").rglob("Pipfile.lock"))

pytestmark = pytest.mark.skipif(not REQUIREMENTS, reason=f"no corpus of lockfiles at {CORPUS}")

needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this interpreter has no pip")

# pip's parser has no public interface; it is the specification all the same.
PARSE_WITH_PIP = """
import json, sys
from pip._internal.exceptions import PipError
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements

answers = {}
for path in sys.argv[1:]:
    try:
        answers[path] = [
            (line.requirement, line.is_editable, line.constraint, (line.options or {}).get("hashes") or {})
            for line in parse_requirements(path, session=PipSession())
        ]
    except (PipError, OSError) as error:
        answers[path] = type(error).__name__
json.dump(answers, sys.stdout)
"""


@functools.cache
def pip_answers() -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-c", PARSE_WITH_PIP, *map(str, REQUIREMENTS)]
    answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=100)
    answers: dict[str, Any] = json.loads(answer.stdout)
    return answers


def pip_requirements(path: Path) -> list[tuple[str, bool, list[str]]] | None:
    """Return text, editable or not, and hashes of every requirement; None where pip refuses the file."""
    answer = pip_answers()[str(path)]
    if isinstance(answer, str):
        return None
    return [
        (text, editable, sorted(f"{kind}:{value}" for kind, values in hashes.items() for value in values))
        for text, editable, constraint, hashes in answer
        if not constraint
    ]


def is_plain_pin(text: str) -> bool:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False
    return any(one.operator in ("==", "===") and "*" not in one.version for one in requirement.specifier)


def of_entry(entry: Entry) -> tuple[str, str | None, list[str]]:
    return entry.name, entry.version, sorted(f"{one.algorithm}:{one.value}" for one in entry.hashes)


@needs_pip
@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: str(path.relative_to(CORPUS))[-60:])
def test_what_pip_reads_is_what_we_read(path: Path) -> None:
    theirs = pip_requirements(path)
    try:
        lock = requirements.read(path)
    except SprawlError as error:
        refusal = error.code
    else:
        refusal = ""
    if refusal:
        # What we do not read pip refuses as well, or it is not pinned: in every such file, some line is not.
        assert refusal in ("lock.not-pinned", "lock.syntax", "lock.invalid", "lock.unreadable")
        assert theirs is None or not all(is_plain_pin(text) for text, _, _ in theirs)
        return
    assert theirs is not None
    assert len(lock.entries) == len(theirs)
    for entry, (text, editable, hashes) in zip(lock.entries, theirs, strict=True):
        assert (entry.direct is not None and entry.direct.kind == "editable") <= editable
        if is_plain_pin(text):
            requirement = Requirement(text)
            assert entry.name == canonicalize_name(requirement.name)
            assert f"=={entry.version}" in str(requirement.specifier)
            assert (entry.marker is None) == (requirement.marker is None)
            assert entry.direct is None
        assert of_entry(entry)[2] == hashes
        assert entry.pinned
    assert lock.hashed == any(hashes for _, _, hashes in theirs) or "require-hashes" in path.read_text(
        "utf-8"
    )


def evaluate(marker: str, environment: Environment) -> bool:
    values = {**environment.markers, "dependency_groups": {"dev"}, "extras": set[str]()}
    return Marker(marker).evaluate(values, context="lock_file")


@pytest.mark.parametrize("path", PIPFILES, ids=lambda path: str(path.relative_to(CORPUS))[-60:])
@pytest.mark.parametrize("section", ["default", "develop"])
def test_a_section_of_a_pipfile_lock(path: Path, section: str) -> None:
    document = json.loads(path.read_text("utf-8"))
    requires = document["_meta"].get("requires", {})
    python = f"{requires.get('python_version', '3.12')}.1"
    try:
        environment = describe(python, "linux")
    except SprawlError as error:
        pytest.skip(f"Python {python}: {error.code}")
    expected = {
        canonicalize_name(name): (
            item.get("version", "").removeprefix("==") or None,
            sorted(item.get("hashes", ())),
        )
        for name, item in document[section].items()
        if "markers" not in item or evaluate(item["markers"], environment)
    }
    lock = pipfile.read(path)
    pins = lock.select(environment, Wanted(only_groups=(section,)))
    found = {
        pin.name: (pin.version, sorted(f"{one.algorithm}:{one.value}" for one in pin.hashes)) for pin in pins
    }
    assert found == expected
    assert lock.hashed == any(
        item.get("hashes") for each in ("default", "develop") for item in document[each].values()
    )
    assert all(pin.source.index is not None for pin in pins if pin.source.kind == "registry")
