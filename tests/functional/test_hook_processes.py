"""Programs of every kind on a set: how they are started, what they start, what the base site did before."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hookstage import PACKAGES, Stage
from tests.support.interpreters import interpreter_cases, newest
from tests.support.sets import examine

pytestmark = pytest.mark.functional

WHERE = "import sys, hello; print(hello.where(), sys.prefix)"


@pytest.fixture(scope="module", params=interpreter_cases())
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), request.param)


@pytest.fixture(params=["1", "exec"])
def mode(request: pytest.FixtureRequest) -> str:
    """In the running interpreter, and in a fresh one."""
    return str(request.param)


def script(stage: Stage, text: str) -> Path:
    path = stage.project / "program.py"
    path.write_text(textwrap.dedent(text))
    return path


def expected(stage: Stage) -> str:
    return f"{stage.set.site_packages}/hello.py {stage.set.path}\n"


def test_every_way_to_start_a_program(stage: Stage, mode: str) -> None:
    path = script(stage, WHERE)
    with stage.daemon() as daemon:
        assert stage.output("-c", WHERE, "argument", mode=mode) == expected(stage)
        assert stage.output(path, mode=mode) == expected(stage)
        assert stage.output("-", "argument", mode=mode, input=WHERE) == expected(stage)
        assert stage.output(mode=mode, input=WHERE) == expected(stage)
        output = stage.output("-m", "tool", "a", "b c", mode=mode)
        assert output == f"tool ['a', 'b c'] {stage.set.site_packages}/hello.py\n"
    assert daemon.connections == 5


def test_options_of_the_interpreter_are_kept(stage: Stage, mode: str) -> None:
    program = (
        "import sys; print(sys.flags.optimize, sys.flags.dont_write_bytecode, sys._xoptions, sys.warnoptions)"
    )
    options = ("-OO", "-B", "-X", "key=value", "-W", "ignore")
    with stage.daemon():
        assert stage.output(*options, "-c", program, mode=mode) == "2 1 {'key': 'value'} ['ignore']\n"


def test_children_run_on_the_set_without_the_variable(stage: Stage, mode: str) -> None:
    path = script(
        stage,
        """
        import multiprocessing, os, subprocess, sys

        def child(queue):
            import hello
            queue.put((hello.where(), sys.prefix))

        if __name__ == "__main__":
            assert "VIRTUAL_SPRAWL" not in os.environ
            code = "import sys, hello; print(hello.where(), sys.prefix)"
            for flags in ([], ["-I"], ["-E"], ["-s"]):
                print(subprocess.check_output([sys.executable, *flags, "-c", code], env={}).decode(), end="")
            for method in ("spawn", "forkserver", "fork"):
                context = multiprocessing.get_context(method)
                queue = context.Queue()
                process = context.Process(target=child, args=(queue,))
                process.start()
                print(*queue.get(timeout=30))
                process.join()
        """,
    )
    with stage.daemon() as daemon:
        assert stage.output(path, mode=mode) == expected(stage) * 7
    assert daemon.connections == 1


def test_the_variable_is_inherited_on_request(stage: Stage) -> None:
    program = "import os; print(os.environ.get('VIRTUAL_SPRAWL'))"
    with stage.daemon():
        assert stage.output("-c", program, mode="inherit") == "inherit\n"
        assert stage.output("-c", program, mode="exec") == "None\n"


@pytest.mark.parametrize(
    "program",
    [
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)",
        "raise SystemExit('a message')",
        "def f():\n    raise ValueError('x')\nf()",
        "import absent",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "1 +",
        "import atexit; atexit.register(print, 'bye')",
    ],
    ids=["exit", "exit-message", "traceback", "import-error", "signal", "syntax", "atexit"],
)
def test_programs_end_as_they_do_without_us(stage: Stage, program: str) -> None:
    path = script(stage, program)
    plain = stage.run(path, mode=None)
    with stage.daemon():
        ours = stage.run(path)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.fixture
def polluted(stage: Stage) -> Iterator[Path]:
    """The user site of the stage, cleaned of what a test puts there."""
    before = set(stage.user_site.iterdir())
    yield stage.user_site
    for path in set(stage.user_site.iterdir()) - before:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


IN_PLACE = "import os, sys; print(os.getppid(), '_virtual_sprawl._enter' in sys.modules)"


def restarted(stage: Stage) -> bool:
    """Tell whether a run on the set was started again in the set's own interpreter."""
    with stage.daemon():
        return stage.output("-c", IN_PLACE).split()[1] == "True"


def test_modules_of_the_base_site_are_forgotten(stage: Stage, polluted: Path) -> None:
    (polluted / "hello.py").write_text("def where():\n    return 'the wrong one'\n")
    (polluted / "aa.pth").write_text("import hello\n")
    # As old google-*-nspkg.pth files do: a namespace that is put together by hand.
    (polluted / "nspkg.pth").write_text(
        "import sys, types; m = sys.modules.setdefault('space', types.ModuleType('space')); "
        f"m.__path__ = [{str(polluted / 'space')!r}]\n"
    )
    with stage.daemon():
        output = stage.output("-c", "import hello, space.left; print(hello.where(), space.left.value)")
    assert output == f"{stage.set.site_packages}/hello.py 2\n"
    assert not restarted(stage)


def test_import_hooks_of_the_base_site_are_removed(stage: Stage, polluted: Path) -> None:
    (polluted / "meddling.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None): pass\n"
        "    @classmethod\n"
        "    def path_hook(cls, path): raise ImportError\n"
        "sys.meta_path.insert(0, Finder)\n"
        "sys.meta_path.append(Finder())\n"
        "sys.path_hooks.append(Finder.path_hook)\n"
    )
    (polluted / "zz.pth").write_text("import meddling\n")
    question = (
        "import sys; print('Finder' in repr((sys.meta_path[:1], sys.meta_path[3:], sys.path_hooks[3:])))"
    )
    with stage.daemon():
        assert stage.output("-c", question) == "False\n"
    assert not restarted(stage)


def test_what_cannot_be_undone_starts_a_fresh_interpreter(stage: Stage, polluted: Path) -> None:
    (polluted / "zz.pth").write_text(
        "import sys; sys.meta_path.append(type('Unknown', (), {'__module__': 'x', 'find_spec': None}))\n"
    )
    assert restarted(stage)
    with stage.daemon():
        assert stage.output("-m", "tool", "x", input="") == f"tool ['x'] {stage.set.site_packages}/hello.py\n"


def test_a_foreign_extension_module_starts_a_fresh_interpreter(stage: Stage, polluted: Path) -> None:
    source = stage.output("-c", "import _queue; print(getattr(_queue, '__file__', ''))", mode=None).strip()
    if not source:
        pytest.skip("this interpreter has its extension modules built in")
    (polluted / f"_queue{examine(stage.python).suffixes[0]}").write_bytes(Path(source).read_bytes())
    loading = f"import sys; sys.path.insert(0, {str(polluted)!r}); import _queue; del sys.path[0]\n"
    (polluted / "zz.pth").write_text(loading)
    assert restarted(stage)


def test_sitecustomize_of_the_base_is_not_run_and_that_of_pythonpath_is(stage: Stage, polluted: Path) -> None:
    (polluted / "sitecustomize.py").write_text("print('base')\n")
    (polluted / "usercustomize.py").write_text("print('user')\n")
    own = stage.project / "own"
    own.mkdir(exist_ok=True)
    (own / "sitecustomize.py").write_text("import hello; print('own')\n")
    with stage.daemon():
        assert stage.output("-c", "pass") == ""
        assert stage.output("-c", "pass", environ={"PYTHONPATH": str(own)}) == "own\n"


def test_start_up_files_in_the_set_are_honoured(tmp_path: Path) -> None:
    packages = {
        **PACKAGES,
        "more/extra.py": "value = 3\n",
        "b.pth": "# a comment\n\nmore\nabsent\n",
        "c.pth": "import sys; sys.flag_of_a_wheel = True\n",
        "d.pth": "import nothing_of_this_name\nmore\n",
    }
    stage = Stage(tmp_path / "stage", newest(), packages)
    program = "import extra, sys; print(extra.value, sys.flag_of_a_wheel, sys.path[-1])"
    with stage.daemon():
        done = stage.run("-c", program)
    assert done.stdout == f"3 True {stage.set.site_packages}/more\n"
    assert done.stderr.startswith("virtual-sprawl: error in a start-up file: d.pth: ModuleNotFoundError: ")
    assert done.stderr.count("\n") == 1


def test_a_call_long_after_start_up_does_nothing(stage: Stage) -> None:
    program = (
        "import site, sys; old = sys.meta_path[:]; site.addsitedir(sys.argv[1]); print(old == sys.meta_path)"
    )
    with stage.daemon() as daemon:
        assert stage.output("-s", "-c", program, stage.user_site) == "True\n"
    assert daemon.connections == 0


def test_the_base_interpreter_stays_reachable(stage: Stage) -> None:
    """`venv` and others build on the interpreter below a virtual environment."""
    with stage.daemon():
        output = stage.output("-m", "venv", "--without-pip", stage.project / "made")
    assert output == ""
    config = (stage.project / "made/pyvenv.cfg").read_text()
    assert f"home = {Path(examine(stage.python).executable).parent}" in config
