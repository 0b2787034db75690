"""Runs the test suites of real packages in a venv of uv's and under `sprawl run pytest`, of the same lock.

python -m tests.conformance.suites attrs click
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.support.interpreters import interpreters
from tests.support.sandbox import SCRIPTS

from .packages import workplace
from .packages_sides import Ran, Side, Workplace
from .suites_list import SUITES, Suite
from .tools import ToolMissingError

__all__ = ["Compared", "compare_suite", "main"]

PYTHON = "3.13"
SUITE_SECONDS = 900
DOWNLOAD_SECONDS = 600
"""pip asks the sdist for its metadata as well, which may take long."""
OUTCOMES = ("passed", "failed", "error", "skipped")


@dataclass(slots=True)
class Compared:
    """What came of one suite on both sides."""

    name: str
    version: str = ""
    python: str = PYTHON
    theirs: dict[str, int] = field(default_factory=dict)
    ours: dict[str, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)
    """Tests whose outcomes are not the same."""
    skipped: str = ""
    """Why it was not run."""


def compare_suite(suite: Suite, place: Workplace, version: str = PYTHON) -> Compared:
    """Run one suite on both sides and compare the outcome of every test."""
    compared = Compared(suite.name, python=version)
    python = interpreters()[version]
    directory = Path(tempfile.mkdtemp(prefix=f"{suite.name}-", dir=place.root))
    try:
        lock = _lock(suite, directory, place, python, version)
        compared.version = _version(lock, suite.name)
        tree = directory / "tree"
        if suite.in_wheel:
            tree.mkdir()
        else:
            _unpack(suite, compared.version, directory, tree, place)
        path_set = place.path_set(lock, python)
        venv = place.venv(lock, python, path_set)
        outcomes = []
        for side in (venv, path_set):
            ran, found = _run(suite, side, lock, python, tree, place)
            outcomes.append(found)
            if not found:
                problem = f"pytest told nothing ({ran.status}): {ran.output[-300:]}"
                raise AssertionError(problem) if side.is_ours else ToolMissingError(problem)
    except ToolMissingError as error:
        compared.skipped = str(error)[:500]
        return compared
    except AssertionError as error:
        compared.different = [str(error)[:500]]
        return compared
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    theirs, ours = outcomes
    compared.theirs, compared.ours = (dict(Counter(found.values())) for found in outcomes)
    compared.different = [
        f"{test}: {ours.get(test)} for {theirs.get(test)}"
        for test in sorted(theirs.keys() | ours.keys())
        if theirs.get(test) != ours.get(test)
    ]
    return compared


def _lock(suite: Suite, directory: Path, place: Workplace, python: Path, version: str) -> Path:
    wanted, lock = directory / "wanted.in", directory / "pylock.toml"
    wanted.write_text("".join(f"{line}\n" for line in (suite.name, "pytest", *suite.needs)))
    problem = place.compile_lock(wanted, lock, python, version)
    if problem:
        raise ToolMissingError(problem)
    return lock


def _version(lock: Path, name: str) -> str:
    packages = tomllib.loads(lock.read_text())["packages"]
    return next(str(package["version"]) for package in packages if package["name"] == name)


def _unpack(suite: Suite, version: str, directory: Path, tree: Path, place: Workplace) -> None:
    """Download the sdist of the locked version, and lay out everything of it but the package itself."""
    command = [place.tools.tool("pip") / "python", "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--no-binary", suite.name, "-d", directory / "sdist", f"{suite.name}=={version}"]
    environ = {**place.tools.environ(), **os.environ}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ToolMissingError(f"no sdist in {DOWNLOAD_SECONDS} s") from None
    if done.returncode:
        raise ToolMissingError(f"no sdist: {done.stderr.strip()[-300:]}")
    (archive,) = (directory / "sdist").iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(directory / "unpacked", filter="data")
    (top,) = (directory / "unpacked").iterdir()
    kept = {name: (top / name).read_bytes() for name in suite.keep}
    for name in suite.without:
        shutil.rmtree(top / name, ignore_errors=True)
    for name, content in kept.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    top.rename(tree)


def _run(
    suite: Suite, side: Side, lock: Path, python: Path, tree: Path, place: Workplace
) -> tuple[Ran, dict[str, str]]:
    """Run a suite on one side, in a copy of the tree; return test -> outcome."""
    pytest = [
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--junitxml=result.xml",
        *suite.options,
    ]
    pytest += ["--pyargs", *suite.tests] if suite.in_wheel else suite.tests
    if side.is_ours:
        command = [f"{SCRIPTS}/sprawl", "run", "--python", str(python), "--lock", str(lock), *pytest]
    else:
        command = [f"{side.prefix}/bin/{pytest[0]}", *pytest[1:]]
    # One place after the other, so that both have the same path.
    work = tree.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(tree, work, symlinks=True)
    environ = {name: place.user.environ[name] for name in ("XDG_RUNTIME_DIR",)}
    environ |= {"XDG_CACHE_HOME": str(place.user.home / ".cache")}
    ran = place.run(side, command, SUITE_SECONDS, environ, directory=work, network=True)
    result = work / "result.xml"
    return ran, _outcomes(result) if result.exists() else {}


def _outcomes(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        tags = [child.tag for child in case]
        outcome = next((tag for tag in ("error", "failure", "skipped") if tag in tags), "passed")
        while name in found:
            name += "'"
        found[name] = outcome.replace("failure", "failed")
    return found


def _line(compared: Compared) -> str:
    if compared.skipped:
        return f"{compared.name}: not run: {compared.skipped}\n"
    counts = [
        ", ".join(f"{side.get(outcome, 0)} {outcome}" for outcome in OUTCOMES)
        for side in (compared.theirs, compared.ours)
    ]
    lines = [f"{compared.name} {compared.version} on {compared.python}: {counts[1]} (venv: {counts[0]})\n"]
    return "".join(lines + [f"  {line}\n" for line in compared.different])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = ", ".join(suite.name for suite in SUITES)
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.suites")
    parser.add_argument("names", nargs="*", help=f"of {known}; all by default")
    parser.add_argument("--python", default=PYTHON)
    parser.add_argument("--workplace", type=Path, help="keep caches and results here")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; return the exit code."""
    options = _arguments(arguments)
    documents: list[dict[str, Any]] = []
    with workplace(options.workplace) as place:
        results = place.root / "suites"
        results.mkdir(exist_ok=True)
        for suite in SUITES:
            if options.names and suite.name not in options.names:
                continue
            compared = compare_suite(suite, place, options.python)
            documents.append(asdict(compared))
            (results / f"{suite.name}-{options.python}.json").write_text(json.dumps(documents[-1], indent=1))
            if not options.json:
                sys.stdout.write(_line(compared))
                sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps(documents, indent=1) + "\n")
    return 1 if any(document["different"] for document in documents) else 0


if __name__ == "__main__":
    sys.exit(main())
