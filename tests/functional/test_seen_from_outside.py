"""Sets entered through a link, programs that write into packages, and installers that would change a set."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.interpreters import interpreter_cases, newest
from tests.support.workshop import Workshop, environment_of

pytestmark = pytest.mark.functional

LOOK = """
import json, sys, site, demo
from demo.data import VALUE
inside = [path for path in sys.path if path.endswith("-packages")]
print(json.dumps([sys.prefix, sys.exec_prefix, sys.executable, site.PREFIXES, inside, demo.__file__,
                  type(sys.path_importer_cache[inside[0]]).__name__]))
"""


@pytest.fixture(scope="module", params=interpreter_cases())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workshop = Workshop(tmp_path_factory.mktemp("made") / "store")
    files = {"demo/__init__.py": "", "demo/data.py": "VALUE = 1\n", "more.pth": "demo\n"}
    return workshop.build(request.param, workshop.entry("demo", files=files))


def run(python: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *words], capture_output=True, text=True, check=check, env={}, timeout=60)


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E", "-s"]])
def test_a_process_entered_through_a_link_stays_on_the_set(
    made: Path, tmp_path: Path, flags: list[str]
) -> None:
    stable, link = tmp_path / "stable", tmp_path / ".venv"
    stable.symlink_to(made)
    link.symlink_to(stable)
    found = json.loads(run(link / "bin" / "python", *flags, "-c", LOOK).stdout)
    site_packages = next(made.glob("lib/*/site-packages"))
    # Python 3.14 knows the prefix before `site` does, and lists it twice.
    prefixes = [str(made)] * len(found[3])
    assert found == [
        str(made),
        str(made),
        str(made / "bin" / "python"),
        prefixes,
        [str(site_packages)],
        str(site_packages / "demo" / "__init__.py"),
        "TopFinder",
    ]
    code = "import sys; print([path for path in sys.path if 'demo' in path])"
    assert run(link / "bin" / "python", "-c", code).stdout == f"[{str(site_packages / 'demo')!r}]\n"


def test_the_hint_for_a_package_that_writes_costs_no_module(made: Path) -> None:
    code = "import sys; print(sorted(name for name in sys.modules if name.startswith('_virtual_sprawl')))"
    loaded = run(made / "bin" / "python", "-c", code).stdout
    assert "readonly" not in loaded
    assert "outside" not in loaded
    assert "linked" not in loaded


@pytest.mark.parametrize(
    ("code", "hinted"),
    [
        ("raise PermissionError(13, 'no', demo.__file__)", True),
        ("raise PermissionError(13, 'no', 'from', None, os.path.realpath(demo.__file__) + '/x')", True),
        ("raise KeyError('x') from OSError(30, 'no', os.fsencode(demo.__file__))", True),
        ("raise PermissionError(13, 'no', '/elsewhere')", False),
        ("raise PermissionError('no file at all')", False),
        ("raise FileNotFoundError(2, 'no', demo.__file__)", False),
        ("raise KeyError(demo.__file__)", False),
    ],
)
def test_an_uncaught_refusal_to_write_names_the_remedy(made: Path, code: str, hinted: bool) -> None:
    code = f"import demo, os, sys\nassert sys.excepthook is sys.__excepthook__\n{code}"
    done = run(made / "bin" / "python", "-c", code, check=False)
    assert done.returncode == 1
    *trace, last = done.stderr.splitlines()
    assert trace[0].startswith(("Traceback", "OSError"))
    assert last.startswith("virtual-sprawl: packages are read-only, and ") is hinted
    assert ("`sprawl run --writable`" in last) is hinted


@pytest.mark.skipif(os.geteuid() == 0, reason="no file mode stops root")
def test_writing_into_a_package_fails_with_the_hint(made: Path) -> None:
    done = run(made / "bin" / "python", "-c", "import demo; open(demo.__file__, 'a')", check=False)
    assert "`sprawl run --writable`" in done.stderr


def test_a_hook_of_the_users_own_stays(made: Path) -> None:
    code = "import sys\nsys.excepthook = lambda *_: print('mine')\nraise OSError(13, 'no', sys.prefix)"
    assert run(made / "bin" / "python", "-c", code, check=False).stdout == "mine\n"


def test_pip_stops_before_it_changes_a_set(tmp_path: Path) -> None:
    pip = tmp_path / "pip"
    subprocess.run([newest(), "-m", "venv", pip], check=True)
    workshop = Workshop(tmp_path / "store")
    demo = workshop.entry("demo", files={"demo/__init__.py": ""})
    made = workshop.build(newest(), demo)
    workshop.entry("other", files={"other.py": ""})
    wheel = tmp_path / "built" / "other-1.0-py3-none-any.whl"
    site_packages = made / "lib" / environment_of(newest()).library / "site-packages"
    before = sorted(os.listdir(site_packages))
    command = [pip / "bin" / "python", "-m", "pip", "--python", made / "bin" / "python"]
    environ = {"PIP_NO_INDEX": "1", "HOME": str(tmp_path), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for words, text in (
        (["install", wheel], "virtual-sprawl: packages are read-only. Add it to the lock"),
        (["uninstall", "-y", "demo"], "virtual-sprawl: packages are read-only. Remove yours from the lock"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True, env=environ)
        assert done.returncode != 0
        assert text in done.stderr + done.stdout
        assert sorted(os.listdir(site_packages)) == before
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, env=environ, check=True)
    assert "demo" in listed.stdout
    elsewhere = [*command, "install", "--prefix", tmp_path / "elsewhere", wheel]
    subprocess.run(elsewhere, capture_output=True, env=environ, check=True)
    assert list((tmp_path / "elsewhere").rglob("other.py"))
