"""A path set runs by itself: its own `bin/python` is a virtual environment's, without and with the finder.

Every test runs twice on each interpreter: once with a client that does nothing, so that CPython's own
machinery serves the set, and once with the real one. Both must give the same answers.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sprawld.pathsets import clientcopy
from tests.support.interpreters import interpreters
from tests.support.workshop import CLIENT, Workshop, environment_of

pytestmark = pytest.mark.functional

SYSTEM_PYTHON = Path("/usr/bin/python3")

FALLBACK_NAMESPACE = """
try:
    __import__("pkg_resources").declare_namespace(__name__)
except ImportError:
    __path__ = __import__("pkgutil").extend_path(__path__, __name__)
"""
DEMO = """
import sys

def main():
    print(sys.argv[1:])
    return 3

class Plugin: pass
"""
WORK = """
import sys
import demo

def double(x):
    return x * 2, sys.prefix, demo.__file__
"""
PKGUTIL_NAMESPACE = '__path__ = __import__("pkgutil").extend_path(__path__, __name__)\n'


@dataclass
class Case:
    """One set, made of all the wheels, for one interpreter."""

    path: Path
    python: Path
    hooked: bool

    @property
    def site_packages(self) -> str:
        return f"{self.path}/lib/{environment_of(self.python).library}/site-packages"

    def run(
        self, *arguments: str | Path, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a directory of no meaning, with an environment of nothing."""
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=False, **{"cwd": "/", "env": {}, **options}
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def answer(self, code: str, *flags: str, **options: Any) -> Any:
        """Run code that prints one JSON document."""
        return json.loads(self.run(self.path / "bin/python", *flags, "-c", code, **options).stdout)


def _pythons() -> dict[str, Path]:
    found = dict(interpreters())
    if SYSTEM_PYTHON.exists() and environment_of(SYSTEM_PYTHON).version >= (3, 8, 0):
        found["system"] = SYSTEM_PYTHON
    return found


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A store with an entry for every kind of wheel that has made trouble somewhere."""
    root = tmp_path_factory.mktemp("sets")
    idle = root / "idle client"
    idle.mkdir()
    for name in ("__init__", "_finder", "known", "outside", "readonly"):
        (idle / f"{name}.py").write_text("")
    (idle / "_enter.py").write_text("def enter():\n    pass\n")
    return Workshop(root / "store", client=idle)


@pytest.fixture(scope="module")
def entries(workshop: Workshop) -> list[Any]:
    demo = workshop.entry(
        "demo-app",
        "1.2",
        files={
            "demo/__init__.py": DEMO,
            "demo/__main__.py": "import sys; print('main', sys.argv[1:])\n",
            "demo/work.py": WORK,
            "demo/data/words.txt": "words",
            "single.py": "name = 'single'\n",
        },
        entry_points={"console_scripts": {"demo": "demo:main"}, "demo.plugins": {"one": "demo:Plugin"}},
        data={
            "scripts/old-demo": "#!python\nimport sys, demo\nprint(sys.executable)\n",
            "data/share/demo/greeting.txt": "hello",
        },
    )
    spread = {
        "google-auth": {"google/auth.py": "name = 'auth'\n"},
        "google-storage": {"google/cloud/storage/__init__.py": "name = 'storage'\n"},
        "google-vision": {"google/cloud/vision.py": "name = 'vision'\n"},
        "azure-core": {
            "azure/core/__init__.py": "",
            "azure/core/ext/__init__.py": "name = 'ext'\n",
        },
        "azure-core-tracing": {"azure/core/ext/tracing/__init__.py": "name = 'tracing'\n"},
        "backports-one": {"backports/__init__.py": PKGUTIL_NAMESPACE, "backports/one.py": "name = 'one'\n"},
        "backports-two": {"backports/__init__.py": PKGUTIL_NAMESPACE, "backports/two.py": "name = 'two'\n"},
        "paste-one": {"paste/__init__.py": FALLBACK_NAMESPACE, "paste/one.py": "name = 'one'\n"},
        "paste-two": {"paste/__init__.py": FALLBACK_NAMESPACE, "paste/two.py": "name = 'two'\n"},
        "evil": {"evil.pth": "import os; os.abort()\ninner\n", "inner/found_by_path_line.py": ""},
        "more-share": {"more_share.py": ""},
    }
    others = [
        workshop.entry(
            name, files=files, data={"data/share/demo/other.txt": "x"} if name == "more-share" else {}
        )
        for name, files in spread.items()
    ]
    return [demo, *others]


@pytest.fixture(
    scope="module",
    params=[(name, client) for name in _pythons() for client in ("bare", "finder")],
    ids=lambda param: "-".join(param),
)
def case(request: pytest.FixtureRequest, workshop: Workshop, entries: list[Any]) -> Case:
    name, client = request.param
    python = _pythons()[name]
    maker = Workshop(workshop.store, client=CLIENT if client == "finder" else workshop.client)
    path = maker.build(python, *entries)
    copy = workshop.store / "client" / json.loads((path / "set.json").read_text())["client"]
    clientcopy.compile_client_copy(str(python), copy)
    return Case(path, python, client == "finder")


def test_the_finder_is_there_or_not(case: Case) -> None:
    code = "print(json.dumps([type(finder).__name__ for finder in sys.path_importer_cache.values()]))"
    assert ("TopFinder" in case.answer(f"import sys, json; {code}")) is case.hooked


def test_imports(case: Case) -> None:
    code = (
        "import demo.work, single, json; print(json.dumps([m.__file__ for m in (demo, demo.work, single)]))"
    )
    files = case.answer(code)
    assert files == [
        f"{case.site_packages}/{name}" for name in ("demo/__init__.py", "demo/work.py", "single.py")
    ]


def test_namespaces_over_wheels(case: Case) -> None:
    names = [
        "google.auth",
        "google.cloud.storage",
        "google.cloud.vision",
        "azure.core.ext",
        "azure.core.ext.tracing",
    ]
    names += ["backports.one", "backports.two", "paste.one", "paste.two"]
    code = f"import json, importlib; print(json.dumps([importlib.import_module(n).name for n in {names}]))"
    assert case.answer(code) == [name.rpartition(".")[2] for name in names]


def test_the_prefix_is_the_set(case: Case) -> None:
    code = """
import json, site, sys, sysconfig
print(json.dumps([sys.prefix, sys.exec_prefix, sys.executable, sys.base_prefix, site.getsitepackages(),
    site.ENABLE_USER_SITE, [sysconfig.get_path(n) for n in ("purelib", "platlib", "scripts", "data")],
    [p for p in sys.path if "-packages" in p], sys.flags.isolated]))
"""
    root = str(case.path)
    for flags in ((), ("-I",), ("-E", "-s")):
        prefix, exec_prefix, executable, base, sites, user, paths, packages, _ = case.answer(code, *flags)
        assert (prefix, exec_prefix, executable) == (root, root, f"{root}/bin/python")
        assert base == case.run(case.python, "-I", "-c", "import sys; print(sys.prefix)").stdout.strip()
        # Debian's own interpreter lists further directories, which do not exist.
        assert [path for path in sites if Path(path).exists()] == [case.site_packages]
        assert user is False
        assert paths == [case.site_packages, case.site_packages, f"{root}/bin", root]
        # The set's own and the path line of a .pth; nothing of the base interpreter's.
        assert packages == [case.site_packages, f"{case.site_packages}/inner"]


def test_metadata(case: Case) -> None:
    code = """
import importlib.metadata as m, json
found = sorted(d.metadata["Name"] for d in m.distributions())
points = m.entry_points()
points = points.select(group="demo.plugins") if hasattr(points, "select") else points["demo.plugins"]
missing = [str(f) for d in m.distributions() for f in d.files if not f.locate().exists()]
print(json.dumps([found, m.version("demo-app"), [[p.name, p.load().__name__] for p in points], missing,
    len(m.files("demo-app")), m.distribution("demo_app").read_text("WHEEL")[:13]]))
"""
    found, version, points, missing, count, wheel = case.answer(code)
    assert len(found) == len(set(found)) == 12
    assert version == "1.2"
    assert points == [["one", "Plugin"]]
    assert missing == []
    assert count == 12
    assert wheel == "Wheel-Version"


def test_pkgutil_and_resources(case: Case) -> None:
    code = """
import json, pkgutil, sys
site_packages = [path for path in sys.path if path.endswith("site-packages")]
tops = {m.name: m.ispkg for m in pkgutil.iter_modules(site_packages)}
import demo, google.cloud
print(json.dumps([tops, [m.name for m in pkgutil.iter_modules(demo.__path__)],
    sorted(m.name for m in pkgutil.iter_modules(google.cloud.__path__)),
    pkgutil.get_data("demo", "data/words.txt").decode()]))
"""
    tops, inside, cloud, words = case.answer(code)
    # As for every directory: without an `__init__`, pkgutil does not call it a package.
    packages = dict.fromkeys(("_virtual_sprawl", "backports", "demo", "paste"), True)
    assert tops == {**packages, "more_share": False, "single": False}
    assert inside == ["__main__", "work"]
    assert cloud == ["storage", "vision"]
    assert words == "words"


def test_scripts(case: Case) -> None:
    done = case.run(case.path / "bin/demo", "a b", "-x", check=False)
    assert (done.stdout, done.returncode) == ("['a b', '-x']\n", 3)
    assert case.run(case.path / "bin/old-demo").stdout == f"{case.path}/bin/python\n"
    assert case.run(case.path / "bin/python", "-m", "demo", "x").stdout == "main ['x']\n"


def test_children_need_no_environment(case: Case) -> None:
    code = """
import json, subprocess, sys
inner = "import demo, sys; print(sys.prefix)"
print(json.dumps([subprocess.check_output([sys.executable, *flags, "-c", inner], env={}, text=True).strip()
    for flags in ([], ["-I"], ["-Es"])]))
"""
    assert case.answer(code) == [str(case.path)] * 3


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing(case: Case, method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, multiprocessing, demo.work\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(1) as pool:\n"
        "        print(json.dumps(pool.map(demo.work.double, [1, 2])))\n"
    )
    answers = json.loads(case.run(case.path / "bin/python", script, env={"TMPDIR": "/tmp"}).stdout)
    inside = [str(case.path), f"{case.site_packages}/demo/__init__.py"]
    assert answers == [[2, *inside], [4, *inside]]


def test_data_lies_under_the_prefix(case: Case) -> None:
    code = """
import json, sys
names = ("greeting.txt", "other.txt")
print(json.dumps([open(sys.prefix + "/share/demo/" + name).read() for name in names]))
"""
    assert case.answer(code, "-I") == ["hello", "x"]


def test_start_up_code_of_wheels_does_not_run_and_path_lines_count(case: Case) -> None:
    case.run(case.path / "bin/python", "-c", "import found_by_path_line")


def test_native_modules(workshop: Workshop, case: Case) -> None:
    suffix = environment_of(case.python).module_suffixes[0]
    code = "import sysconfig; print(sysconfig.get_path('platstdlib') + '/lib-dynload')"
    directory = Path(case.run(case.python, "-I", "-c", code).stdout.strip())
    source = directory / f"_json{suffix}"
    if not source.exists():
        pytest.skip(f"this interpreter has no _json{suffix} to borrow")
    name = f"native-{case.path.name[:8]}"
    entry = workshop.entry(
        name, files={f"native/_json{suffix}": source.read_bytes(), "native/_json.py": "wrong"}
    )
    path = Workshop(workshop.store, client=CLIENT if case.hooked else workshop.client).build(
        case.python, entry
    )
    case.run(path / "bin/python", "-I", "-c", "from native._json import make_scanner")


def test_a_store_may_be_moved(tmp_path: Path) -> None:
    python = next(iter(interpreters().values()))
    workshop = Workshop(tmp_path / "store")
    path = workshop.build(
        python,
        workshop.entry("demo", files={"demo/__init__.py": "", "ns/a.py": ""}),
        workshop.entry("other", files={"ns/b.py": ""}),
    )
    workshop.store.rename(tmp_path / "moved")
    code = "import demo, ns.a, ns.b, sys; print(sys.prefix)"
    moved = tmp_path / "moved" / path.relative_to(workshop.store)
    done = subprocess.run(
        [moved / "bin/python", "-I", "-c", code], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == str(moved)


def test_a_store_below_a_long_path_with_a_space(tmp_path: Path) -> None:
    python = next(iter(interpreters().values()))
    workshop = Workshop(tmp_path / "a b" / ("x" * 100) / "store")
    entry = workshop.entry(
        "demo",
        files={"demo.py": "def main():\n    import sys\n    print(sys.argv[1:], sys.prefix)\n"},
        entry_points={"console_scripts": {"demo": "demo:main"}},
    )
    path = workshop.build(python, entry)
    done = subprocess.run([path / "bin/demo", "x y"], capture_output=True, check=True, text=True)
    assert done.stdout == f"['x y'] {path}\n"
