"""A program that imports every name of a set finds the same with the set's finder and without it."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sprawld.pathsets import clientcopy
from tests.support.interpreters import interpreter_cases
from tests.support.packs import pack_entries
from tests.support.workshop import Workshop, environment_of

pytestmark = pytest.mark.functional

PKGUTIL = '__path__ = __import__("pkgutil").extend_path(__path__, __name__)\n'
PKG_RESOURCES = """
try:
    __import__("pkg_resources").declare_namespace(__name__)
except ImportError:
    __path__ = __import__("pkgutil").extend_path(__path__, __name__)
"""

# Imports all that can be found below site-packages; its directory and those of path lines are arguments.
EVERYTHING = """
import importlib, importlib.util, inspect, json, os, pkgutil, sys
if sys.argv[1] == "off":
    sys.path += sys.argv[3:]
site_packages = sys.argv[3]

def kind(loader):
    found = [t.__name__ for t in type(loader).__mro__ if t.__module__.startswith("_frozen")]
    return found[0] if found else None

def describe(name):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError) as error:
        return type(error).__name__
    if spec is None:
        return None
    places = spec.submodule_search_locations
    answer = [spec.origin, spec.has_location, spec.cached, kind(spec.loader),
              None if places is None else [type(places).__name__, *places]]
    if not name.endswith("_native"):  # empty files
        module = importlib.import_module(name)
        answer += [module.__file__ if hasattr(module, "__file__") else "none", module.__package__,
                   getattr(module, "VALUE", None), module.__spec__.origin]
        if str(answer[0]).endswith(".py"):
            answer.append(inspect.getsource(module) if os.path.getsize(answer[0]) else "")
    return answer

names = set()
for directory, directories, files in os.walk(site_packages, followlinks=True):
    directories[:] = [d for d in directories if "sprawl" not in d and d.isidentifier()]
    prefix = os.path.relpath(directory, site_packages).replace("/", ".").strip(".")
    for name in {*directories, *(f.partition(".")[0] for f in files if "sprawl" not in f)}:
        if name.isidentifier() and name != "__init__":
            names.add(prefix + "." + name if prefix else name)
names |= {"absent", "of_a_path_line", "demo.absent", "plain.absent", "google.absent"}
answers = {name: describe(name) for name in sorted(names)}

def listed(modules):
    return sorted([m.name, m.ispkg] for m in modules if "sprawl" not in m.name)

def errors(name):
    answers.setdefault("errors", []).append(name)

answers["/iter"] = {
    name: listed(pkgutil.iter_modules(sys.modules[name].__path__, name + "."))
    for name in list(sys.modules) if name in names and hasattr(sys.modules[name], "__path__")
}
answers["/walk"] = listed(pkgutil.walk_packages([site_packages], onerror=errors))
answers["/all"] = [row for row in listed(pkgutil.iter_modules()) if row[0] in names]
try:
    from importlib.resources import files
    answers["/resources"] = [
        sorted(path.name for path in files(name).iterdir() if path.name != "__pycache__")
        for name in ("google.cloud", "plain", "demo")
    ]
    answers["/text"] = files("plain").joinpath("words.txt").read_text()
except (ImportError, TypeError):  # older Pythons do not do that for namespaces
    pass
answers["/data"] = pkgutil.get_data("demo", "data/words.txt").decode()
print(json.dumps([type(sys.path_importer_cache[site_packages]).__name__, answers]))
"""

# Directories of the program's own beside the set, and what happens in them while it runs.
LATE = """
import importlib, json, os, sys, zipfile, zipimport
if sys.argv[1] == "off":
    sys.path += sys.argv[3:]
work = sys.argv[2]
answers = []
import google
os.makedirs(work + "/one/google")
sys.path.insert(0, work + "/one")
sys.path.append(work + "/two")
def look(name):
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    try:
        answers.append(os.path.relpath(importlib.import_module(name).__file__, work))
    except ImportError as error:
        answers.append(type(error).__name__)
look("late")
open(work + "/one/late.py", "w").close()
look("late")                            # a file that comes late
os.mkdir(work + "/two")
open(work + "/two/later.py", "w").close()
look("later")                           # a directory that comes late
open(work + "/one/google/fresh.py", "w").close()
look("google.fresh")                    # a portion that comes late, before those of the set
look("google.auth")
open(work + "/one/single.py", "w").close()
look("single")                          # a module that is in the set as well, in a directory before it
os.remove(work + "/one/single.py")
look("single")
with zipfile.ZipFile(work + "/archive.zip", "w") as archive:
    archive.writestr("zipped.py", "")
    archive.writestr("pack/__init__.py", "")
    archive.writestr("google/", "")
    archive.writestr("google/from_zip.py", "")
sys.path.append(work + "/archive.zip")
for name in ("zipped", "pack", "google.from_zip"):
    look(name)
answers.append(sorted({os.path.relpath(place, work) for place in google.__path__}))
answers.append(type(sys.modules["zipped"].__loader__) is zipimport.zipimporter)
print(json.dumps(answers))
"""


def pyc(python: Path, value: str) -> bytes:
    """Return bytecode of this interpreter for a module with one value, that no source stands behind."""
    code = (
        "import base64, importlib.util, marshal\n"
        f"code = compile({f'VALUE = {value!r}'!r}, 'gone.py', 'exec')\n"
        "print(base64.b64encode(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)).decode())"
    )
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, check=True, text=True)
    return base64.b64decode(done.stdout)


class Made:
    """One set for one interpreter, and two ways to run a program on it."""

    def __init__(self, directory: Path, python: Path) -> None:
        self.directory = directory
        workshop = Workshop(directory / "store")
        suffixes = environment_of(python).module_suffixes
        extensions = [suffix for suffix in suffixes if suffix.endswith(".so")]
        wheels: dict[str, dict[str, str | bytes]] = {
            "demo": {
                "demo/__init__.py": "VALUE = 'demo'\n",
                "demo/data/words.txt": "words",
                "demo/inner/__init__.py": "from .. import VALUE\n",
                "demo/inner/leaf.py": "VALUE = 'leaf'\n",
                "demo/without/init.py": "",
                "single.py": "VALUE = 'single'\n",
                "compiled.pyc": pyc(python, "compiled"),
                "demo/compiled.pyc": pyc(python, "compiled in demo"),
                "demo/both.pyc": pyc(python, "bytecode"),
                "demo/both.py": "VALUE = 'source'\n",
                "frozen/__init__.pyc": pyc(python, "a package of bytecode"),
                "frozen/part.pyc": pyc(python, "part"),
                "paths.pth": "added\n",
                "added/of_a_path_line.py": "",
            },
            # A package over a module over a namespace; in one wheel, and between wheels.
            "order": {
                "package.py": "VALUE = 'module'\n",
                "package/__init__.py": "VALUE = 'package'\n",
                "module.py": "VALUE = 'module'\n",
                "module/portion.py": "VALUE = 'never'\n",
                "across.py": "VALUE = 'module'\n",
                "divided/leaf.py": "VALUE = 'leaf'\n",
                "demo2/thing.py": "VALUE = 'module'\n",
            },
            "order-too": {
                "across/__init__.py": "VALUE = 'package'\n",
                "divided.py": "VALUE = 'module'\n",
                "demo2/thing/__init__.py": "VALUE = 'package'\n",
                "demo2/thing/more.py": "",
            },
            "suffixes": {
                **{f"every_native{suffix}": b"" for suffix in suffixes},
                **{f"demo3/stable_native{suffix}": b"" for suffix in (*extensions[1:], ".py")},
                **{f"demo3/plain_native{suffix}": b"" for suffix in (".so", ".pyc")},
                "demo3/foreign.cpython-27-x86_64-linux-gnu.so": b"",
                "demo3/__init__.py": "",
            },
            "google-auth": {"google/auth.py": "", "google/cloud/deep/er/est.py": "VALUE = 1\n"},
            "google-storage": {
                "google/cloud/storage/__init__.py": "",
                "google/cloud/deep/er/more.py": "VALUE = 2\n",
                "google/cloud/words.txt": "",
            },
            "google-vision": {"google/cloud/vision.py": "", "google/cloud/deep/other.py": ""},
            "plain-one": {"plain/one.py": "", "plain/words.txt": "words"},
            "azure-core": {"azure/core/__init__.py": "", "azure/core/ext/__init__.py": "VALUE = 'ext'\n"},
            "azure-tracing": {"azure/core/ext/tracing/__init__.py": "VALUE = 'tracing'\n"},
            **{
                f"{name}-{part}": {f"{name}/__init__.py": text, f"{name}/{part}.py": f"VALUE = {part!r}\n"}
                for name, text in (("backports", PKGUTIL), ("paste", PKG_RESOURCES))
                for part in ("one", "two")
            },
            # One old portion with an `__init__`, one without.
            "old-one": {"old/__init__.py": PKGUTIL, "old/one.py": "VALUE = 'one'\n"},
            "old-two": {"old/two.py": "VALUE = 'two'\n"},
        }
        entries = [workshop.entry(name, files=files) for name, files in wheels.items()]
        self.path = workshop.build(python, *entries)
        self.python = self.path / "bin/python"
        (self.site_packages,) = map(str, self.path.glob("lib/python*/site-packages"))
        copy = workshop.store / "client" / json.loads((self.path / "set.json").read_text())["client"]
        clientcopy.compile_client_copy(str(python), copy)

    def answer(self, program: str, way: str, *words: str | Path, work: Path | None = None) -> Any:
        """Run a program with the finder ("on"), or with what CPython has ("off": site is not imported)."""
        flags = ["-I", "-B"] if way == "on" else ["-I", "-B", "-S"]
        places = (self.site_packages, f"{self.site_packages}/added")
        command = [self.python, *flags, *words, "-c", program, way, work or "-", *places]
        done = subprocess.run(command, capture_output=True, text=True, env={}, cwd="/", timeout=100)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module", params=interpreter_cases())
def python(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def made(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"), python)


def test_every_name_is_imported_alike(made: Made, python: Path) -> None:
    finder, theirs = made.answer(EVERYTHING, "off")
    assert finder == "FileFinder"
    for packs in (False, True):
        if packs:
            pack_entries(made.path.parents[1], python)
        finder, ours = made.answer(EVERYTHING, "on")
        assert finder == "TopFinder"
        for name in {*theirs, *ours}:
            assert ours.get(name) == theirs.get(name), (name, packs)
    values = {
        name: answer[7]
        for name, answer in theirs.items()
        if "/" not in name and type(answer) is list and len(answer) > 7
    }
    assert values["package"] == values["across"] == values["demo2.thing"] == "package"
    assert values["module"] == values["divided"] == "module"
    assert values["demo.both"] == "source"
    assert (values["compiled"], values["frozen"], values["frozen.part"]) == (
        "compiled",
        "a package of bytecode",
        "part",
    )
    assert values["google.cloud.deep.er.est"] == 1
    assert values["google.cloud.deep.er.more"] == 2
    for name in ("azure.core.ext.tracing", "backports.two", "paste.one", "old.one", "old.two"):
        assert values[name] == name.rpartition(".")[2]
    suffixes = environment_of(python).module_suffixes
    assert theirs["every_native"][0] == f"{made.site_packages}/every_native{suffixes[0]}"
    assert theirs["demo3.stable_native"][0] == f"{made.site_packages}/demo3/stable_native{suffixes[1]}"
    assert theirs["demo3.foreign"] is theirs["absent"] is None


def test_what_comes_late_in_other_directories_is_seen(made: Made, tmp_path: Path) -> None:
    for way in ("off", "on"):
        (tmp_path / way).mkdir()
    ours, theirs = (made.answer(LATE, way, work=tmp_path / way) for way in ("on", "off"))
    assert ours == theirs
    assert ours[:5] == ["ModuleNotFoundError", "one/late.py", "two/later.py", "one/google/fresh.py", ours[4]]
    assert ours[7:10] == [
        "archive.zip/zipped.py",
        "archive.zip/pack/__init__.py",
        "archive.zip/google/from_zip.py",
    ]
    assert ours[11] is True
