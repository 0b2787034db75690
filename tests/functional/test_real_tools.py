"""Type checkers, Jupyter, coverage, debuggers from the user's index, on sets, links and views."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.tools import Toolbox
from tests.support.sandbox import Sandbox, network_settings
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(600)]

CHECKERS = ("mypy", "ty", "basedpyright", "pylint")
PROJECT = """\
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["shop", "attrs"]
[dependency-groups]
dev = ["coverage", "debugpy", "sentry-sdk", "pytest", "typeguard", "beartype", "ipykernel", "jupyter-client"]
checkers = ["mypy", "ty", "basedpyright", "pylint"]
[tool.uv]
package = false
[tool.uv.sources]
shop = { path = "shop-1.0-py3-none-any.whl" }
"""
SHOP = {
    "shop/__init__.py": "",
    "shop/py.typed": "",
    "shop/typed.py": "def double(x: int) -> int:\n    return x * 2\n",
    "shop/helper.py": "def check(value):\n    left = value\n    assert left == 41\n",
    "shop/plugin.py": "import pytest\npytest.register_assert_rewrite('shop.helper')\n\n"
    "@pytest.fixture\ndef shop_value():\n    return 42\n",
    "shop/raiser.py": "def fail(callback):\n    callback()\n",
}
PROGRAMS = {
    "checked.py": "import attrs\nimport shop.typed\n\n\n@attrs.define\nclass Point:\n    x: int\n\n\n"
    'Point("a")\nshop.typed.double("b")\nshop.typed.no_such_name\n',
    "mine.py": "import shop.typed\n\n\ndef use():\n    return shop.typed.double(2)\n",
    "app.py": "import mine\nprint(mine.use())\n",
    "guard.py": """\
from typeguard import TypeCheckError, install_import_hook
install_import_hook("shop.typed")
import shop.typed
try:
    print(shop.typed.double("a"))
except TypeCheckError:
    print("instrumented")
""",
    "bear.py": """\
from beartype.claw import beartype_package
from beartype.roar import BeartypeCallHintViolation
beartype_package("shop")
import shop.typed
try:
    print(shop.typed.double("a"))
except BeartypeCallHintViolation:
    print("instrumented")
""",
    "told.py": """\
import json, sentry_sdk, shop.raiser
events = []
sentry_sdk.init(dsn="http://a@127.0.0.1:9/1", before_send=lambda event, hint: events.append(event),
                default_integrations=False)
def mine():
    raise KeyError("x")
try:
    shop.raiser.fail(mine)
except KeyError:
    sentry_sdk.capture_exception()
frames = events[0]["exception"]["values"][0]["stacktrace"]["frames"]
print(json.dumps([[frame["function"], frame["in_app"]] for frame in frames]))
""",
    "debugged.py": """\
import sys, debugpy, shop.raiser
from debugpy._vendored import force_pydevd
from pydevd import PyDB
debugger = PyDB(set_as_global=False)
debugger.set_use_libraries_filter(True)
scope = debugger.in_project_scope
shop.raiser.fail(lambda: print([scope(sys._getframe(0)), scope(sys._getframe(1))]))
""",
    "test_mine.py": "from shop.helper import check\n\n\ndef test_x(shop_value):\n    check(shop_value)\n",
    "notebook.py": """\
import json, sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=90)
try:
    found = []
    hook = lambda message: found.append(message["content"].get("data", {}).get("text/plain"))
    cell = "import shop.typed; shop.typed.double(21)"
    reply = client.execute_interactive(cell, timeout=90, output_hook=hook)
    print(json.dumps([reply["content"]["status"], [text for text in found if text]]))
    manager.restart_kernel()
    client.wait_for_ready(timeout=90)
    print(json.dumps(client.execute_interactive("1", timeout=90, output_hook=hook)["content"]["status"]))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
""",
}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("tools") / "user")
    sandbox.environ |= network_settings()
    sandbox.environ["UV_PYTHON"] = sys.executable
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Toolbox(tmp_path_factory.mktemp("toolbox")).uv


@pytest.fixture(scope="module")
def project(user: Sandbox, uv: Path) -> Path:
    directory = user.project("sample", {"pyproject.toml": PROJECT, **PROGRAMS})
    build_wheel(directory, "shop", "1.0", SHOP, entry_points={"pytest11": {"shop": "shop.plugin"}})
    locked = user.run(uv, "lock", "-q", cwd=directory, check=False, timeout=300)
    if locked.returncode:
        pytest.skip(f"no lock can be made here: {locked.stderr.strip().splitlines()[-1:]}")
    user.sprawl("sync", "--group", "checkers", cwd=directory, timeout=500)
    user.sprawl("sync", cwd=directory)
    while user.status()["packs"]["waiting"]:
        pass
    return directory


@pytest.fixture(scope="module")
def link(user: Sandbox, project: Path) -> Path:
    return Path(json.loads(user.sprawl("ide", "--json", "--venv-link", cwd=project).stdout)["link"])


# --- checkers see the packages through the link ---


def check(user: Sandbox, project: Path, *command: str | Path) -> str:
    done = user.sprawl(
        "run", "--group", "checkers", *command, "checked.py", cwd=project, check=False, timeout=300
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        (["mypy", "--python-executable", "{python}"], ['"Point"', '"double"', '"no_such_name"']),
        (["ty", "check", "--python", "{link}"], ["Expected `int`", "checked.py:10", "no_such_name"]),
        (["ty", "check"], ["Expected `int`", "checked.py:11", "no_such_name"]),
        (["basedpyright", "--pythonpath", "{python}"], ['"Literal[', "checked.py:11", "no_such_name"]),
        (["pylint", "--disable=C"], ["no_such_name", "no-member"]),
    ],
    ids=["mypy", "ty", "ty-by-venv-link", "basedpyright", "pylint"],
)
def test_a_checker_resolves_imports_and_types(
    user: Sandbox, project: Path, link: Path, command: list[str], texts: list[str]
) -> None:
    words = [word.format(python=link / "bin" / "python", link=link) for word in command]
    said = check(user, project, *words)
    for text in texts:
        assert text in said, said
    assert "import-not-found" not in said, said
    assert "reportMissing" not in said, said


def test_pyright_reads_the_setting_that_ide_writes(user: Sandbox, project: Path, link: Path) -> None:
    (project / ".venv").unlink()
    user.sprawl("ide", "--pyright", "--write", cwd=project)
    said = check(user, project, "basedpyright")
    (project / "pyrightconfig.json").unlink()
    (project / ".venv").symlink_to(link)
    assert "checked.py:11" in said, said
    assert "reportMissing" not in said, said


def test_a_script_with_its_own_lock_has_its_own_link(user: Sandbox, uv: Path, project: Path) -> None:
    script = project / "tool.py"
    script.write_text('# /// script\n# dependencies = ["six"]\n# ///\nimport six\nprint(six.__name__)\n')
    user.run(uv, "lock", "-q", "--script", script, cwd=project, timeout=300)
    told = json.loads(user.sprawl("ide", "--json", script).stdout)
    assert told["project"] == str(script)
    assert user.run(told["python"], script).stdout == "six\n"
    without = user.run(told["python"], "-c", "import shop", check=False)
    assert "ModuleNotFoundError" in without.stderr


# --- what runs on a set, by every way into it ---


@pytest.fixture(params=["run", "hook", "link"])
def way(request: pytest.FixtureRequest, user: Sandbox, project: Path, link: Path) -> list[str | Path]:
    if request.param == "hook":
        return ["env", "VIRTUAL_SPRAWL=1", sys.executable]
    return [link / "bin" / "python"] if request.param == "link" else ["sprawl", "run", "python"]


def test_packs_do_not_get_past_instrumentation(user: Sandbox, project: Path, way: list[str | Path]) -> None:
    packed = "import shop.typed; print(bool(shop.typed.__loader__.packed))"
    assert user.run(*way, "-c", packed, cwd=project).stdout == "True\n"
    for program in ("guard.py", "bear.py"):
        assert user.run(*way, program, cwd=project).stdout == "instrumented\n"
    outcome = user.run(
        *way, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", cwd=project, check=False
    )
    assert "assert 42 == 41" in outcome.stdout, outcome.stdout


def test_the_store_is_not_the_users_code(user: Sandbox, project: Path, way: list[str | Path]) -> None:
    user.run(*way, "-m", "coverage", "run", "app.py", cwd=project)
    report = user.run(*way, "-m", "coverage", "json", "-o", "-", cwd=project).stdout
    assert sorted(json.loads(report)["files"]) == ["app.py", "mine.py"]
    frames = json.loads(user.run(*way, "told.py", cwd=project).stdout)
    assert frames == [["<module>", True], ["fail", False], ["mine", True]]
    debugged = user.run(*way, "-Xfrozen_modules=off", "debugged.py", cwd=project)
    assert debugged.stdout == "[True, False]\n"


# --- kernels ---


def test_jupyter_starts_the_kernel_and_restarts_it(user: Sandbox, project: Path) -> None:
    user.sprawl("kernel", "install", "--name", "sample", cwd=project)
    told = user.sprawl("run", "notebook.py", "sample", cwd=project, timeout=300).stdout
    assert told == '["ok", ["42"]]\n"ok"\n'


# --- a view against a venv of uv ---

# Both are venvs; these are the tools' own.
UV_OWN = ("bin/activate", "bin/deactivate", "bin/pydoc", "CACHEDIR.TAG", ".lock", "_virtualenv")

INSTALLERS_OWN = ("REQUESTED", "uv_cache.json", "INSTALLER")


def tree(root: Path) -> dict[str, str]:
    """Return path -> kind and mode or content of everything in a venv that does not differ by nature."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if any(word in name for word in UV_OWN) or "__pycache__" in path.parts or path.is_dir():
            continue
        if path.is_symlink():
            found[name] = "link"
            continue
        content = path.read_bytes()
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        if path.name == "direct_url.json":
            content = json.loads(content)["url"].encode()  # uv leaves the hash out
        if path.name in ("INSTALLER", "pyvenv.cfg", ".gitignore") or path.parent == root / "bin":
            content = b""
        if path.name == "RECORD":
            rows = csv.reader(content.decode().splitlines())
            # uv's own files, and scripts, whose text is not the same.
            kept = (
                row for row in rows if Path(row[0]).name not in ("REQUESTED", "uv_cache.json", "INSTALLER")
            )
            content = repr(
                sorted(row[:1] if "bin/" in row[0] or "direct_url" in row[0] else row for row in kept)
            ).encode()
        if path.name not in ("REQUESTED", "uv_cache.json"):
            found[name] = executable + str(hash(content))
    return found


def test_a_view_has_the_files_of_a_venv_that_uv_made(
    user: Sandbox, uv: Path, project: Path, tmp_path: Path
) -> None:
    venv, view = tmp_path / "venv", tmp_path / "view"
    environ = {"UV_PROJECT_ENVIRONMENT": str(venv)}
    made = user.run(uv, "sync", "-q", "--frozen", cwd=project, env=environ, check=False, timeout=300)
    if made.returncode:
        pytest.skip(f"uv cannot sync here: {made.stderr.strip().splitlines()[-1:]}")
    user.sprawl("view", view, cwd=project)
    theirs, ours = tree(venv), tree(view)
    missing = sorted(name for name in theirs if name not in ours)
    assert [name for name in missing if not name.endswith(".pth")] == []
    assert sorted(name for name in ours if name not in theirs) == []
    assert [name for name in ours if ours[name] != theirs[name]] == []
    for path in (venv, view):
        listed = subprocess.run([uv, "pip", "freeze", "-p", path], capture_output=True, text=True, check=True)
        assert "shop @ file://" in listed.stdout
    program = [view / "bin" / "python", project / "app.py"]
    assert subprocess.run(program, capture_output=True, text=True).stdout == "4\n"
