"""Test suites of real packages: where each lies, what it needs, and which part of it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["QUICK", "SUITES", "Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite. It is run with the package as its wheel has it, not as it lies beside the tests."""

    name: str
    tests: tuple[str, ...] = ("tests",)
    """What is run: paths in the sdist, or modules with `in_wheel`."""
    needs: tuple[str, ...] = ()
    """Requirements besides the package and pytest."""
    without: tuple[str, ...] = ("src",)
    """What of the sdist must be out of the way, for it is the package."""
    keep: tuple[str, ...] = ()
    """Files of it that the tests read where they lie."""
    options: tuple[str, ...] = ()
    in_wheel: bool = False
    """The wheel has the tests."""


_PLUGIN: Final = "lib/sqlalchemy/testing/plugin"

SUITES: Final = (
    Suite("attrs", needs=("hypothesis", "cloudpickle")),
    Suite("click"),
    Suite("jinja2", needs=("trio",)),
    Suite("markupsafe"),
    Suite("pluggy", tests=("testing",), options=("--ignore=testing/benchmark.py",)),
    Suite("packaging", needs=("pretend", "hypothesis", "tomli-w")),
    Suite("itsdangerous", needs=("freezegun",)),
    # Its fixtures use what later releases of pytest no longer have.
    Suite("flask", needs=("asgiref", "python-dotenv", "greenlet", "pytest<9")),
    Suite(
        "requests",
        tests=(
            "tests/test_utils.py",
            "tests/test_structures.py",
            "tests/test_hooks.py",
            "tests/test_help.py",
        ),
        needs=("pytest-httpbin", "pytest-mock", "httpbin", "trustme", "pysocks"),
    ),
    Suite(
        "sqlalchemy",
        tests=(
            "test/base",
            "test/sql/test_text.py",
            "test/sql/test_select.py",
            "test/engine/test_parseconnect.py",
        ),
        without=("lib",),
        keep=tuple(f"{_PLUGIN}/{name}.py" for name in ("bootstrap", "plugin_base", "pytestplugin")),
    ),
    Suite("zope-interface", tests=("zope.interface",), needs=("zope-event", "zope-testing"), in_wheel=True),
    Suite(
        "numpy",
        tests=("numpy.lib.tests.test_function_base", "numpy.ma", "numpy.polynomial"),
        needs=("hypothesis",),
        in_wheel=True,
    ),
    Suite(
        "pandas",
        tests=("pandas.tests.indexing", "pandas.tests.tseries"),
        needs=("hypothesis", "pytz"),
        in_wheel=True,
        options=("-m", "not slow and not network and not db"),
    ),
    Suite("networkx", tests=("networkx.algorithms.shortest_paths", "networkx.classes"), in_wheel=True),
)

QUICK: Final = ("markupsafe", "pluggy")
"""Run in every run of this project's own tests."""
