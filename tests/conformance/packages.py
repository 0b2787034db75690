"""Compares the most downloaded packages in a venv of uv's and in a path set, of the same locks.

python -m tests.conformance.packages --shard 1/2
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.interpreters import interpreters

from .packages_locks import groups, lock_group, top_packages
from .packages_look import look
from .packages_report import report, results, summarise
from .packages_sides import Workplace
from .tools import ToolMissingError

__all__ = ["compare_group", "main", "workplace"]

PYTHONS = ("3.11", "3.13")


def compare_group(
    names: Sequence[str],
    version: str,
    place: Workplace,
    *,
    hook: bool = False,
    jobs: int = 2,
    leave: Collection[str] | None = None,
) -> dict[str, Any]:
    """Lock some packages for a Python, and compare them; what they need too, but for `leave`, if given."""
    python = interpreters()[version]
    directory = Path(tempfile.mkdtemp(prefix=f"{version}-", dir=_made(place.root / "locks")))
    locked = lock_group(
        names, directory, lambda wanted, lock: place.compile_lock(wanted, lock, python, version)
    )
    document: dict[str, Any] = {
        "python": version,
        "names": list(names),
        "locks": [],
        "lacking": locked.lacking,
    }
    for lock in locked.locks:
        needed = set() if leave is None else set(lock.versions()) - set(leave)
        chosen = sorted({*lock.asked, *needed})
        try:
            found = look(lock, version, python, place, chosen, hook=hook, jobs=jobs)
        except ToolMissingError as error:
            document["lacking"] |= {name: str(error)[:300] for name in lock.asked}
            continue
        document["locks"].append(found.as_json())
    return document


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _compared(kept: Path, version: str) -> set[str]:
    """Return what was compared on a Python already, asked for or not."""
    locks = [
        lock for document in results(kept) if document["python"] == version for lock in document["locks"]
    ]
    return {package["name"] for lock in locks for package in lock["packages"]}


@contextmanager
def workplace(root: Path | None) -> Iterator[Workplace]:
    """Open the workplace in a directory that stays, or in one for now; stop its daemon at the end."""
    with tempfile.TemporaryDirectory() as directory:
        place = Workplace(_made((root or Path(directory)).absolute()))
        try:
            yield place
        finally:
            place.close()


def _print(document: dict[str, Any]) -> None:
    for name, reason in document["lacking"].items():
        sys.stdout.write(f"{document['python']} {name}: left out: {reason}\n")
    for lock in document["locks"]:
        for line in lock["whole"]:
            sys.stdout.write(f"{document['python']} environment: {line}\n")
        for package in lock["packages"]:
            for line in package["different"]:
                sys.stdout.write(f"{document['python']} {package['name']} {package['version']}: {line}\n")
        sys.stdout.write(f"{document['python']} {len(lock['packages'])} packages, {lock['seconds']}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.packages")
    parser.add_argument("names", nargs="*", help="only these packages, in one group")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="the Ith of N parts")
    parser.add_argument("--python", action="append", help="3.11 and 3.13 by default")
    parser.add_argument("--hook", action="store_true", help="also turn the base interpreter into the set")
    parser.add_argument("--jobs", type=int, default=2, help="how many programs at a time (2)")
    parser.add_argument("--workplace", type=Path, help="keep caches and results here, and go on from there")
    parser.add_argument("--report", type=Path, help="write about all results of the workplace here")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Compare what the command line asks for; return the exit code."""
    options = _arguments()
    number, _, count = options.shard.partition("/")
    chosen = [tuple(options.names)] if options.names else groups(top_packages())
    documents = []
    with workplace(options.workplace) as place:
        kept = _made(place.root / "results")
        for index, names in enumerate(chosen):
            if index % int(count) != int(number) - 1:
                continue
            for version in options.python or PYTHONS:
                path = kept / f"{version}-{names[0]}-{len(names)}.json"
                if not path.exists():
                    document = compare_group(
                        names,
                        version,
                        place,
                        hook=options.hook,
                        jobs=options.jobs,
                        leave={*top_packages(), *_compared(kept, version)},
                    )
                    path.write_text(json.dumps(document, indent=1))
                documents.append(json.loads(path.read_text()))
                if not options.json:
                    _print(documents[-1])
        if options.report:
            options.report.write_text(report(results(kept), results(place.root / "suites")))
    unexplained = [line for summary in summarise(documents) for line in summary.unexplained]
    if options.json:
        sys.stdout.write(json.dumps(documents, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"unexplained: {line}\n" for line in unexplained)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
