"""Processes of every kind, by both roads: `sprawl run`, and the hook in the user's own interpreter.

One daemon serves all interpreters; what the programs say is compared with where the packages must be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.index import SimpleIndex
from tests.support.interpreters import interpreter_cases
from tests.support.roads import ROADS, Roads

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

TOOL = """
import os, sys
def where():
    import hello
    return [sys.prefix, hello.__file__, "VIRTUAL_SPRAWL" in os.environ]
def main():
    import json
    print(json.dumps(where()), flush=True)
if __name__ == "__main__":
    main()
"""
SHIPPED = {
    "hello.py": "",
    "kit/__init__.py": "",
    "kit/__main__.py": "from kit.tool import main; main()\n",
    "kit/tool.py": TOOL,
    "lonely.py": "from kit.tool import main; main()\n",
}

# Every way in which a program starts another one; all but the last ones with no environment at all.
CHILDREN = r"""
import json, os, subprocess, sys, zipapp
work = sys.argv[1]
one = "from kit.tool import main; main()"
script, link, archive, folder = (work + "/" + name for name in ("one.py", "link.py", "app.pyz", "folder"))
os.makedirs(folder)
for path in (script, folder + "/__main__.py"):
    with open(path, "w") as file:
        file.write(one)
os.symlink("one.py", link)
zipapp.create_archive(folder, archive)
commands = {
    "-c": ["-c", one], "-m package": ["-m", "kit"], "-m module": ["-m", "lonely"],
    "-m inner": ["-m", "kit.tool"],
    "-I": ["-I", "-c", one], "-E": ["-E", "-c", one], "-s": ["-s", "-c", one], "-Es": ["-Es", "-m", "kit"],
    "-O": ["-O", "-c", one], "-X": ["-X", "utf8", "-c", one], "script": [script], "link": [link],
    "zipapp": [archive], "directory": [folder], "-I script": ["-I", script], "runpy": ["-c",
        "import runpy; runpy.run_module('kit', run_name='__main__'); runpy.run_module('lonely')"],
    "run_path": ["-c", "import runpy, sys; runpy.run_path(sys.argv[1])", script],
}
if sys.version_info >= (3, 11):
    commands["-P"] = ["-P", script]
answers = {}
def note(name, text):
    answers[name] = sorted(set(text.splitlines()))
def output(*words, **options):
    return subprocess.check_output(words, universal_newlines=True, **options)
for name, words in commands.items():
    note(name, output(sys.executable, *words, env={}))
for name, words in {"stdin": [], "-": ["-"]}.items():
    note(name, subprocess.run([sys.executable, *words], env={}, input=one, stdout=-1, check=True,
                              universal_newlines=True).stdout)
note("script of a wheel", output(sys.prefix + "/bin/kit-tool", env={}))
child = "import subprocess, sys; subprocess.check_call([sys.executable, '-I', '-m', 'kit'])"
note("child of a child", output(sys.executable, "-c", child, env={}))
# As reloaders and servers start themselves again.
again = "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'kit'])"
note("os.exec", output(sys.executable, "-c", again))
note("inherited", output(sys.executable, "-c", one))
note("-S", output(sys.executable, "-S", "-c", "import sys; print([p for p in sys.path if 'packages' in p])"))
print(json.dumps(answers))
"""

WORKERS = """
import concurrent.futures, json, multiprocessing, os, sys, threading
from kit import tool
def put(queue):
    queue.put(tool.where())
def ask(_):
    return tool.where()
if __name__ == "__main__":
    answers = {}
    for method in ("spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        process = context.Process(target=put, args=(queue,))
        process.start()
        answers[method] = queue.get()
        process.join()
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            answers["pool by " + method] = pool.submit(ask, 0).result()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps(tool.where()).encode())
        os._exit(0)
    answers["os.fork"] = json.loads(os.read(reader, 4096))
    os.wait()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        answers["thread"] = threads.submit(tool.where).result()
    print(json.dumps(answers))
"""

PROGRAMS = {"children.py": CHILDREN, "workers.py": WORKERS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roads]:
    with SimpleIndex() as index:
        made = Roads(tmp_path_factory.mktemp("place"), index, SHIPPED, PROGRAMS)
        yield made
        made.sandbox.close()


def expected(place: Roads, python: Path) -> list[object]:
    """Return what a process on the set answers."""
    return [place.path_set(python), f"{place.packages(python)}/hello.py", False]


@pytest.fixture(scope="module", params=interpreter_cases())
def python(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module", params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_whatever_a_program_starts_runs_on_the_set(
    place: Roads, python: Path, road: str, tmp_path: Path
) -> None:
    answers = json.loads(place.run(road, python, "children.py", tmp_path))
    assert answers.pop("-S") == ["[]"]
    right = [json.dumps(expected(place, python))]
    assert {name: answer for name, answer in answers.items() if answer != right} == {}
    assert len(answers) >= 23


def test_workers_run_on_the_set(place: Roads, python: Path, road: str) -> None:
    answers = json.loads(place.run(road, python, "workers.py"))
    right = expected(place, python)
    assert {name: answer for name, answer in answers.items() if answer != right} == {}
    assert len(answers) == 8
