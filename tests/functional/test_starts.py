"""How a program may be started, by both roads; what it finds first; programs that embed Python."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import binaries
from tests.support.index import SimpleIndex
from tests.support.interpreters import interpreter_cases, newest
from tests.support.roads import ROADS, Roads
from tests.support.sets import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

SHIPPED = {
    "hello.py": "VERSION = 1\n",
    "kit/__init__.py": "",
    "kit/__main__.py": "from kit.tool import main; main()\n",
    "kit/tool.py": "def main():\n    import json, sys\n    print(json.dumps([sys.prefix, sys.argv[1:]]))\n",
    # Names of the standard library: that comes first, as in a venv.
    "json.py": "raise AssertionError('not this one')\n",
    "typing.py": "raise AssertionError('not this one')\n",
    "enum/__init__.py": "raise AssertionError('not this one')\n",
    # The project has a file of this name, too.
    "helper.py": "raise AssertionError('not this one')\n",
    # Packages that help themselves to sys.path, or to the import system.
    "vendoring/__init__.py": "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/vendor')\n",
    "vendoring/vendor/hidden.py": "VALUE = 'hidden'\n",
    "vendoring/vendor/inner/__init__.py": "VALUE = 'inner'\n",
    "meddling/__init__.py": """
import sys
from importlib.machinery import PathFinder, SourceFileLoader
class Loader(SourceFileLoader):
    def source_to_code(self, data, path, **options):
        return super().source_to_code(data.replace(b"'plain'", b"'rewritten'"), path, **options)
class First:
    # As pytest, typeguard and six do: in front of all others, and asking PathFinder.
    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name.startswith("watched") else None
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            spec.loader = Loader(name, spec.origin)
        return spec
sys.meta_path.insert(0, First)
""",
    "watched/__init__.py": "VALUE = 'plain'\n",
    "watched/part.py": "VALUE = 'plain'\n",
    "language/__init__.py": """
import os, sys
from importlib.machinery import ModuleSpec
class Loader:
    @staticmethod
    def create_module(spec):
        return None
    @staticmethod
    def exec_module(module):
        with open(module.__spec__.origin) as file:
            module.VALUE = file.read().strip()
class Finder:
    # As pyximport does: files of another kind, looked for along sys.path and __path__.
    @staticmethod
    def find_spec(name, path=None, target=None):
        for directory in sys.path if path is None else path:
            file = os.path.join(directory, name.rpartition(".")[2] + ".pyz0")
            if os.path.exists(file):
                return ModuleSpec(name, Loader, origin=file)
sys.meta_path.append(Finder)
""",
    "language/foreign.pyz0": "a foreign module\n",
    "toplevel.pyz0": "another one\n",
}
STARTED = """
import json, sys
import hello
print(json.dumps([sys.prefix, sys.argv[1:]]))
"""
FIRST = """
import json, typing, enum, sys, helper, hello
print(json.dumps([[m.__file__ for m in (json, typing, enum, helper, hello)], sys.path]))
"""
TRICKS = """
import json, sys
import vendoring, hidden, inner, meddling, watched.part, language, language.foreign, toplevel
print(json.dumps([m.VALUE for m in (hidden, inner, watched, watched.part, language.foreign, toplevel)]))
"""
# What tools that look at paths ask: reloaders, "is this a third party's?", ctypes.
LOOKS = """
import json, os, site, sys, sysconfig
from ctypes.util import find_library
base = sys.base_prefix + os.sep
places = [p for p in sys.path[1:] if not p.startswith(base)]
import hello
print(json.dumps([[os.path.relpath(p, sys.prefix) for p in places],
    places == [sysconfig.get_path("purelib")] == site.getsitepackages(), site.ENABLE_USER_SITE,
    hello.__file__.startswith(sysconfig.get_path("purelib") + "/"),
    sys.prefix != sys.base_prefix, os.path.exists(sys.prefix + "/pyvenv.cfg"), find_library("c")]))
"""
PROGRAMS = {
    "started.py": STARTED,
    "first.py": FIRST,
    "helper.py": "",
    "tricks.py": TRICKS,
    "looks.py": LOOKS,
    "folder/__main__.py": STARTED,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roads]:
    with SimpleIndex() as index:
        made = Roads(tmp_path_factory.mktemp("place"), index, SHIPPED, PROGRAMS)
        yield made
        made.sandbox.close()


@pytest.fixture(scope="module", params=interpreter_cases("3.8", "3.11", "3.13"))
def python(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module", params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_way_to_start_one(place: Roads, python: Path, road: str, tmp_path: Path) -> None:
    project, elsewhere = place.project, tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked").symlink_to(project / "started.py")
    archive = project / "app.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", STARTED)
    ways: dict[str, tuple[list[str | Path], Path, str | None]] = {
        "script": ([project / "started.py", "x"], elsewhere, None),
        "relative script": (["started.py", "x"], project, None),
        # The lock of the project that the link leads to, as the script's own directory is that one's.
        "link to a script": ([elsewhere / "linked", "x"], elsewhere, None),
        "directory": ([project / "folder", "x"], elsewhere, None),
        "zip application": ([archive, "x"], elsewhere, None),
        "package": (["-m", "kit", "x"], project, None),
        "module of the project": (["-m", "started", "x"], project, None),
        "code": (["-c", STARTED, "x"], project, None),
        "standard input": (["-", "x"], project, STARTED),
    }
    expected = [place.path_set(python), ["x"]]
    found = {
        name: json.loads(place.run(road, python, *words, cwd=cwd, input=input))
        for name, (words, cwd, input) in ways.items()
    }
    assert {name: answer for name, answer in found.items() if answer != expected} == {}


def test_a_script_whose_first_line_names_sprawl(place: Roads, tmp_path: Path) -> None:
    for name in ("report", "report.py"):
        script = place.project / name
        script.write_text("#!/usr/bin/env -S sprawl run\n" + STARTED)
        script.chmod(0o755)
        link = tmp_path / f"link-{name}"
        link.symlink_to(script)
        for path in (script, link):
            done = place.sandbox.run(path, "x", cwd=place.project)
            assert json.loads(done.stdout)[1] == ["x"]


def test_the_script_comes_first_then_the_standard_library_then_the_set(
    place: Roads, python: Path, road: str
) -> None:
    files, path = json.loads(place.run(road, python, "first.py"))
    packages = place.packages(python)
    assert path[0] == str(place.project)
    assert path[-1] == packages
    assert files[-2:] == [f"{place.project}/helper.py", f"{packages}/hello.py"]
    assert all(file.startswith(f"{python.parents[1]}/lib/") for file in files[:-2])


def test_packages_that_meddle_with_the_import_system(place: Roads, python: Path, road: str) -> None:
    values = json.loads(place.run(road, python, "tricks.py"))
    assert values == ["hidden", "inner", "rewritten", "rewritten", "a foreign module", "another one"]


def test_who_looks_at_paths_sees_a_virtual_environment(place: Roads, python: Path, road: str) -> None:
    answers = json.loads(place.run(road, python, "looks.py"))
    bare = "import ctypes.util; print(ctypes.util.find_library('c'))"
    found = subprocess.run([python, "-I", "-c", bare], capture_output=True, text=True, check=True)
    packages = f"lib/{examine(python).library}/site-packages"
    assert answers == [[packages], True, False, True, True, True, found.stdout.strip()]


def test_two_versions_in_two_projects_at_once(place: Roads, road: str) -> None:
    python = newest()
    other = place.sandbox.project(
        "other", {"inner.py": STARTED.replace("sys.prefix", "hello.VERSION")},
        [place.pin("kit", "2.0", {**SHIPPED, "hello.py": "VERSION = 2\n"})],
    )  # fmt: skip
    # A program of one project starts one of the other, and each has its own.
    code = "import hello, subprocess, sys; print(hello.VERSION); subprocess.check_call(sys.argv[1:])"
    command: list[str | Path]
    if road == "run":
        command = ["sprawl", "run", "--python", python, other / "inner.py"]
    else:
        command = ["env", "VIRTUAL_SPRAWL=1", place.hooked(python), other / "inner.py"]
    assert place.run(road, python, "-c", code + "; print(hello.VERSION)", *command).split("\n")[-2] == "1"
    output = place.run(road, python, "-u", "-c", code, *command) if road == "hook" else place.run(
        road, python, "python", "-u", "-c", code, *command
    )  # fmt: skip
    assert output == "1\n[2, []]\n"


SUBINTERPRETER = """
try:
    import _interpreters as sub
    run = sub.exec
except ImportError:
    import _xxsubinterpreters as sub
    run = sub.run_string
import hello
failed = run(sub.create(), "import hello, sys; print(sys.prefix, flush=True)")
assert failed is None, failed
"""


@pytest.mark.parametrize("way", ["run", "exec", "inherit"])
def test_a_subinterpreter_has_the_packages(place: Roads, python: Path, way: str) -> None:
    if way == "run":
        output = place.run(way, python, "-c", SUBINTERPRETER)
    else:
        output = place.run("hook", python, "-c", SUBINTERPRETER, env={"VIRTUAL_SPRAWL": way})
    assert output == place.path_set(python) + "\n"


def test_a_subinterpreter_of_a_process_that_was_activated_has_none(place: Roads, python: Path) -> None:
    """It starts from the command line of the process, and nothing there or in the environment tells."""
    with pytest.raises(AssertionError, match="No module named 'hello'"):
        place.run("hook", python, "-c", SUBINTERPRETER)


# --- programs that are not Python, and have one ---

EMBEDDER = """
#include <Python.h>
int main(int argc, char **argv) {
    if (argc > 2) {  /* a name, as programs give that know where their Python lies */
        wchar_t *name = Py_DecodeLocale(argv[2], NULL);
        Py_SetProgramName(name);
    }
    Py_Initialize();
    int result = PyRun_SimpleString(argv[1]);
    return Py_FinalizeEx() || result;
}
"""
EMBEDDED = "import sys; print(sys.prefix == sys.base_prefix, 'virtual_sprawl._start' in sys.modules)"


@pytest.fixture(scope="module")
def embedder(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program with the interpreter's shared library in it."""
    program = tmp_path_factory.mktemp("embed") / "painter"
    library = python.parents[1] / "lib" / f"lib{examine(python).library}.so"
    include = python.parents[1] / "include" / examine(python).library
    if not library.exists() or not include.exists():
        pytest.skip("this interpreter has no shared library, or no headers")
    source = program.with_suffix(".c")
    source.write_text(EMBEDDER)
    command: list[str | Path] = [binaries.compiler(), "-w", "-o", program, source, f"-I{include}", library]
    subprocess.run([*command, f"-Wl,-rpath,{library.parent}"], check=True)
    return program


@pytest.mark.parametrize("named", ["unnamed", "named"])
def test_a_program_that_embeds_python_is_left_alone(
    place: Roads, python: Path, embedder: Path, named: str
) -> None:
    place.hooked(python)
    words = [EMBEDDED, str(python)] if named == "named" else [EMBEDDED]
    home = {"PYTHONHOME": str(python.parents[1])}
    done = subprocess.run(
        [embedder, *words],
        env=place.sandbox.environ | {"VIRTUAL_SPRAWL": "1", "PATH": os.defpath, **home},
        cwd=place.project,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


def test_a_frozen_application_is_left_alone(place: Roads, python: Path, tmp_path: Path) -> None:
    site = Path(place.hooked(python) and place.sandbox.home) / ".local/lib" / examine(python).library
    early = site / "site-packages" / "aa-frozen.pth"
    early.write_text("import sys; sys.frozen = True\n")
    try:
        assert place.run("hook", python, "-c", EMBEDDED) == "True True\n"
    finally:
        early.unlink()
    assert place.run("hook", python, "-c", EMBEDDED).startswith("False")


def test_a_program_on_a_set_can_embed_it(place: Roads, python: Path, embedder: Path) -> None:
    """Given the set's own interpreter by name, as uwsgi and mod_wsgi are, it has the packages."""
    code = "import hello, sys; print(sys.prefix)"
    environ = {"PATH": os.defpath, "HOME": str(place.sandbox.home)}
    name = f"{place.path_set(python)}/bin/python"
    done = subprocess.run([embedder, code, name], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, place.path_set(python) + "\n", "")
