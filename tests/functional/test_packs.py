"""With packs, without them, without the finder: every name of a set leads to the same module."""

from __future__ import annotations

import json
import marshal
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sprawld.pathsets import clientcopy
from tests.support.interpreters import interpreter_cases
from tests.support.packs import build, pack_entries
from tests.support.workshop import Workshop, environment_of

pytestmark = pytest.mark.functional

WORK = '''"""Docstring."""
import demo


def fail():
    """Docstring."""
    assert demo.VALUE == 2, "the assertion"
'''

# Prints name -> everything that an importer or a tool asks of its spec, for all names below a directory.
SURVEY = """
import json, os, pkgutil, sys, types

def shape(value):
    if isinstance(value, types.CodeType):
        lines = getattr(value, "co_linetable", None) or value.co_lnotab
        return [value.co_name, value.co_filename, value.co_firstlineno, value.co_code.hex(), lines.hex(),
            value.co_names, value.co_varnames, value.co_flags, [shape(item) for item in value.co_consts]]
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)

def describe(name, directory):
    spec = pkgutil.get_importer(directory).find_spec(name)
    if spec is None:
        return None
    portions = spec.submodule_search_locations
    answer = [spec.name, spec.origin, spec.cached, spec.has_location, spec.parent,
        None if portions is None else list(portions)]
    if spec.loader is None:
        return answer
    kind = [t.__name__ for t in type(spec.loader).__mro__ if t.__module__.startswith("_frozen")][0]
    answer += [kind, spec.loader.path, spec.loader.is_package(name), spec.loader.get_filename(name)]
    if kind != "ExtensionFileLoader":
        try:
            answer += [shape(spec.loader.get_code(name)), spec.loader.get_source(name)]
        except (SyntaxError, ValueError, ImportError, EOFError) as error:
            answer.append(type(error).__name__)
    packed.append(getattr(spec.loader, "packed", None) is not None)
    return answer

packed, answers, root = [], {}, sys.argv[1]
for directory, directories, files in os.walk(root, followlinks=True):
    if "_virtual_sprawl" in directories:
        directories.remove("_virtual_sprawl")
    prefix = os.path.relpath(directory, root).replace("/", ".").strip(".")
    for name in {*directories, *files, *(n.partition(".")[0] for n in files), "absent", "__init__"}:
        full = prefix + "." + name if prefix else name
        answers[full] = describe(full, directory)
print(json.dumps([answers, sum(packed)], sort_keys=True))
"""


@pytest.fixture(scope="module", params=interpreter_cases())
def python(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def made(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of everything that finders have got wrong, with packs."""
    workshop = Workshop(tmp_path_factory.mktemp("packs") / "store")
    extension = environment_of(python).module_suffixes[0]
    compiled = bytes(16) + marshal.dumps(1)
    entries = [
        workshop.entry(
            "demo",
            files={
                "demo/__init__.py": "VALUE = 1\n",
                "demo/work.py": WORK,
                "demo/syntax.py": "print 1\n",
                "demo/null.py": b"a = 1\0\n",
                "demo/latin.py": "# coding: latin-1\nname = '\xe9'\n".encode("latin-1"),
                "demo/constants.py": "a = x in {'a', 'b', 'c', None}\nb = 1e300 * 1j, ..., -0.0, b'x'\n",
                "demo/work/__init__.py": "",
                "demo/both.py": "",
                "demo/both/leaf.py": "",
                f"demo/native{extension}": b"",
                "demo/native.py": "",
                "demo/foreign.cpython-27-x86_64-linux-gnu.so": b"",
                "demo/sourceless.pyc": compiled,
                "demo/x-y.py": "",
                "demo/2to3.py": "",
                "demo/a.b.py": "",
                "demo/odd.py/x.py": "",
                "demo/dotted.dir/x.py": "",
                "demo/data/words.txt": "",
                "demo/deep/er/est.py": "",
                "single.py": "VALUE = 'single'\n",
                "shared/__init__.py": "from one import x\n",
                "shared/one.py": "",
                "azure/core/__init__.py": "",
                "azure/core/ext/__init__.py": "",
                "google/auth.py": "",
                f"twice{extension}": b"",
            },
        ),
        workshop.entry(
            "other",
            files={
                "azure/core/ext/tracing/__init__.py": "def trace():\n    return 1 / 0\n",
                "google/cloud/storage.py": "",
                "shared/__init__.py": "from two import y\n",
                "shared/two.py": "",
                "twice.py": "",
            },
        ),
    ]
    path = workshop.build(python, *entries)
    copy = workshop.store / "client" / json.loads((path / "set.json").read_text())["client"]
    clientcopy.compile_client_copy(str(python), copy)
    pack_entries(workshop.store, python)
    return path


def site_packages(made: Path) -> Path:
    return next(made.glob("lib/python*/site-packages"))


def run(made: Path, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [made / "bin/python", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={})
    assert not check or done.returncode == 0, done.stderr
    return done


def survey(made: Path, *flags: str) -> Any:
    return json.loads(run(made, *flags, "-W", "ignore", "-c", SURVEY, site_packages(made)).stdout)


def files(made: Path) -> set[str]:
    return set(map(str, made.parents[1].rglob("*")))


def test_every_name_leads_to_the_same_module(made: Path) -> None:
    before = files(made)
    with_packs, packed = survey(made)
    packs = made.parents[1] / "packs"
    packs.rename(packs.with_name("away"))
    try:
        without, none_packed = survey(made)
    finally:
        packs.with_name("away").rename(packs)
    optimised, none_optimised = survey(made, "-O")
    # Without `site` there is no finder of ours.
    plain, _ = survey(made, "-S", "-B")
    assert with_packs == without == plain
    assert optimised.keys() == plain.keys()
    assert packed >= 20
    assert none_packed == none_optimised == 0
    assert sum(answer is not None for answer in plain.values()) > 35
    assert files(made) == before, "nothing is written into the store"


def test_modules_of_shared_directories_come_from_packs(made: Path) -> None:
    names = ["azure.core", "azure.core.ext", "azure.core.ext.tracing", "google.auth", "google.cloud.storage"]
    code = f"import importlib; print(*(bool(importlib.import_module(n).__loader__.packed) for n in {names}))"
    assert run(made, "-c", code).stdout.split() == ["True"] * len(names)


def test_tracebacks_and_sources_are_those_of_the_set(made: Path) -> None:
    code = "import inspect, demo.latin as m; print(inspect.getsource(m)[:17], bool(m.__loader__.packed))"
    assert run(made, "-c", code).stdout == "# coding: latin-1 True\n"
    error = run(made, "-c", "import demo.constants", check=False).stderr
    assert f'File "{site_packages(made)}/demo/constants.py", line 1, in <module>\n    a = x in' in error
    assert error.count('  File "') == 2
    error = run(made, "-c", "from azure.core.ext import tracing; tracing.trace()", check=False).stderr
    assert f'File "{site_packages(made)}/azure/core/ext/tracing/__init__.py", line 2, in trace' in error


def test_the_collector_is_as_before_when_an_import_is_over(made: Path) -> None:
    code = "import gc; b = gc.get_threshold(); import demo.latin; print(gc.get_threshold() == b, "
    assert (
        run(made, "-c", code + "gc.isenabled(), gc.get_freeze_count() < 1000)").stdout == "True True True\n"
    )


def test_no_descriptor_is_kept(made: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc on this system")
    code = "import os, demo.latin; assert demo.latin.__loader__.packed; print(*os.listdir('/proc/self/fd'))"
    numbers = list(map(int, run(made, "-c", code).stdout.split()))
    # The lease has a high number; 3 is the listing itself.
    assert sorted(number for number in numbers if number < 100) == [0, 1, 2, 3]


def test_packs_are_the_same_each_time(made: Path, python: Path, tmp_path: Path) -> None:
    entries = sorted((made.parents[1] / "wheels").iterdir())
    targets = [[tmp_path / f"{turn}-{entry.name}" for entry in entries] for turn in range(2)]
    sources = [entry / "lib/python/site-packages" for entry in entries]
    assert build(python, zip(sources, targets[0], strict=True)) == ["done", "done"]
    assert build(python, zip(reversed(sources), reversed(targets[1]), strict=True)) == ["done", "done"]
    for one, other in zip(*targets, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert os.stat(one).st_mode & 0o777 == 0o444


def test_an_entry_that_cannot_be_read_costs_its_own_pack_only(
    python: Path, made: Path, tmp_path: Path
) -> None:
    entry = next((made.parents[1] / "wheels").iterdir()) / "lib/python/site-packages"
    answers = build(python, [(tmp_path / "absent", tmp_path / "1"), (entry, tmp_path / "2")])
    assert answers == ["wait status 512", "done"]
