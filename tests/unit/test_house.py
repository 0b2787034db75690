"""The rules of the house that a machine can check: style, types, layers, sizes, names, error codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import distlib.index
import pytest

from sprawld.errors import CODES

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("sprawld/**/*.py"), *ROOT.glob("client/**/*.py")]
MOST_LINES = 350


def committed() -> list[Path]:
    """Every text file that git tracks or would track; all files below the root where git is absent."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        paths = [ROOT / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not path.relative_to(ROOT).parts[0].startswith(".")]
    return [path for path in paths if path.is_file() and path.suffix not in (".png", ".whl", ".pyc")]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy"],
        ["importlinter.cli", "lint", "--no-cache"],
    ],
    ids=["ruff-check", "ruff-format", "mypy", "import-layers"],
)
@pytest.mark.timeout(600)
def test_the_checkers_are_content(command: list[str]) -> None:
    if command[0] == "importlinter.cli":
        command = ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    else:
        command = ["-m", *command]
    outcome = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_owns_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(('"""', "#!")), "the first line is a docstring that says what the file owns"
    assert text.count("\n") <= MOST_LINES


def test_no_registry_is_named_and_no_machine_shows() -> None:
    registry = ".".join((urlsplit(distlib.index.DEFAULT_INDEX).hostname or "").split(".")[-2:])
    # The second word is put together here so that this file passes its own test.
    words = [registry, "python" + "hosted", str(ROOT)]
    if len(Path.home().parts) > 2:
        words.append(str(Path.home()))
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in committed()
        for word in words
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


def test_every_code_is_documented() -> None:
    documented = re.findall(
        r"^\| `([a-z0-9.-]+)` \|", (ROOT / "docs/reference/errors.md").read_text(), re.MULTILINE
    )
    daemon = [code for code in documented if code in CODES]
    assert sorted(daemon) == sorted(CODES)
    assert len(documented) == len(set(documented))


def test_every_code_is_asserted_by_a_test() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert [code for code in CODES if f'"{code}"' not in tests and f"[{code}]" not in tests] == []
