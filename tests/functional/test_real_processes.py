"""Packages that start processes, and old namespace packages: small real wheels, by both roads."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sprawld.acquire.settings import default_index
from tests.support.interpreters import interpreters
from tests.support.roads import ROADS
from tests.support.sandbox import Sandbox
from tests.support.sets import install_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(600)]

LOCK = """
pytest==8.3.4 pytest-xdist==3.6.1 execnet==2.1.1 iniconfig==2.0.0 pluggy==1.5.0 packaging==24.2
joblib==1.4.2 loky==3.4.1 cloudpickle==3.1.0 gunicorn==23.0.0 uvicorn==0.34.0 h11==0.14.0
celery==5.4.0 kombu==5.4.2 billiard==4.2.1 vine==5.1.0 click==8.1.7 click-didyoumean==0.3.1
click-plugins==1.1.1 click-repl==0.3.0 tzdata==2024.2 python-dateutil==2.9.0.post0 amqp==5.3.1
prompt-toolkit==3.0.48 wcwidth==0.2.13 six==1.17.0 typing-extensions==4.12.2
dask==2024.12.1 distributed==2024.12.1 toolz==1.0.0 pyyaml==6.0.2 fsspec==2024.10.0 partd==1.4.2
locket==1.0.0 jinja2==3.1.4 markupsafe==3.0.2 msgpack==1.1.0 psutil==6.1.0 sortedcontainers==2.4.0
tblib==3.0.0 tornado==6.4.2 urllib3==2.2.3 zict==3.0.0 importlib-metadata==8.5.0 zipp==3.21.0
ruamel.yaml==0.18.6 ruamel.yaml.clib==0.2.12 backports.tarfile==1.2.0 zope.interface==7.2 zope.event==5.0
setuptools==75.6.0 repoze.lru==0.7 PasteDeploy==3.1.0 poetry-core==2.0.0 poetry==2.0.0
"""

WHERE = """
import os, sys
def where(*_):
    import six
    return [sys.prefix, six.__file__, sys.executable]
def tell(**more):
    # In one piece: several processes tell.
    import json
    descriptor = os.open(os.environ["TELL"], os.O_WRONLY)
    os.write(descriptor, (json.dumps([where(), os.getppid(), more]) + "\\n").encode())
    os.close(descriptor)
"""
PROGRAMS = {
    "where.py": WHERE,
    "test_where.py": """
import json, os, pathlib, pytest, where
@pytest.mark.parametrize("number", range(4))
def test_where(number):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(os.environ["TELL"] + "." + worker).write_text(json.dumps(where.where()))
""",
    "parallel.py": """
import json
from joblib import Parallel, delayed
import loky, where
if __name__ == "__main__":
    answers = {}
    for backend in ("loky", "multiprocessing", "threading"):
        answers[backend] = Parallel(n_jobs=2, backend=backend)(delayed(where.where)() for _ in range(2))
    for context in ("loky", "spawn"):
        with loky.ProcessPoolExecutor(1, context=loky.backend.get_context(context)) as pool:
            answers["loky by " + context] = list(pool.map(where.where, [0]))
    print(json.dumps(answers))
""",
    "cluster.py": """
import json, subprocess, sys
from distributed import Client, LocalCluster
import where
if __name__ == "__main__":
    options = dict(dashboard_address=None, processes=True, threads_per_worker=1)
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        answers = [client.submit(where.where).result()]
        # And one that is started by hand, as on another machine.
        words = [sys.executable, "-m", "dask", "worker", cluster.scheduler_address, "--nthreads=1"]
        words += ["--no-dashboard", "--name=by-hand", "--local-directory=" + sys.argv[1]]
        worker = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        client.wait_for_workers(2, timeout=60)
        answers.append(client.submit(where.where, workers="by-hand", pure=False).result())
        worker.terminate()
        worker.wait()
    print(json.dumps(answers))
""",
    "web.py": """
import where
def app(environ, start_response):
    return []
def post_worker_init(worker):
    where.tell()
async def asgi(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    where.tell()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
""",
    "tasks.py": """
import celery, celery.signals, where
app = celery.Celery("tasks", broker="memory://")
app.conf.update(worker_hijack_root_logger=False)
@app.task
def told():
    where.tell()
@celery.signals.worker_ready.connect
def ready(sender, **more):
    told.delay()
""",
    "spaces.py": """
import json, os, sys
import _ruamel_yaml, ruamel.yaml, ruamel.yaml.cyaml, backports.tarfile, zope.event, zope.interface
import importlib.util, pkg_resources, repoze.lru, paste.deploy, poetry.core
import zope.interface._zope_interface_coptimizations as native
assert ruamel.yaml.YAML(typ="safe").load("a: 1") == {"a": 1}
poetry_factory = importlib.util.find_spec("poetry.factory")
modules = (_ruamel_yaml, ruamel.yaml, backports.tarfile, zope.event, zope.interface, native, repoze.lru,
           paste.deploy, poetry.core)
listed = sorted(d.key for d in pkg_resources.working_set)
print(json.dumps([[m.__file__ for m in modules] + [poetry_factory.origin],
    len(listed) == len(set(listed)),
    set(listed) >= {"repoze.lru", "pastedeploy", "zope.event", "pytest-xdist"} or listed,
    pkg_resources.resource_exists("pytest", "py.typed"), pkg_resources.require("celery")[0].version,
    [p.name for p in pkg_resources.iter_entry_points("pytest11")],
    [len(repoze.__path__), len(paste.__path__), len(list(zope.__path__))]]))
""",
}


class Real:
    """A project on these wheels, and a pipe in which its processes tell where they are."""

    def __init__(self, directory: Path) -> None:
        if "3.11" not in interpreters():
            pytest.skip("no Python 3.11")
        self.python = interpreters()["3.11"]
        self.sandbox = Sandbox(directory / "user", index=default_index())
        self.project = self.sandbox.project("app", PROGRAMS, LOCK.split())
        install_hook(self.sandbox.home / ".local/lib/python3.11/site-packages", self.python)
        words = ("sync", "--print-path", "--python", self.python)
        done = self.sandbox.sprawl(*words, cwd=self.project, check=False, timeout=500)
        if "[net." in done.stderr or "[select." in done.stderr:
            pytest.skip(f"no package index answers: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        self.path_set = done.stdout.strip()
        self.where = [
            self.path_set,
            f"{self.path_set}/lib/python3.11/site-packages/six.py",
            f"{self.path_set}/bin/python",
        ]
        self.pipe = directory / "told"
        os.mkfifo(self.pipe)
        # Both ends, so that it never ends.
        self.reader = os.fdopen(os.open(self.pipe, os.O_RDWR), "rb", buffering=0)

    def command(self, road: str, *words: str) -> list[str]:
        """Return a command line; `words` begin with -m, or a script."""
        if road == "run":
            return ["sprawl", "run", "--python", str(self.python), *words]
        return ["env", "VIRTUAL_SPRAWL=1", str(self.python), *words]

    def output(self, road: str, *words: str) -> str:
        environ = {"TELL": str(self.pipe)}
        done = self.sandbox.run(*self.command(road, *words), cwd=self.project, env=environ, timeout=300)
        return done.stdout

    def told(self) -> Any:
        """Wait for what one process tells."""
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.reader], [], [], 120)[0], "nobody told anything"
            line += self.reader.read(1)
        return json.loads(line)

    def serve(self, road: str, *words: str) -> subprocess.Popen[str]:
        environ = {"TELL": str(self.pipe)}
        return self.sandbox.start(*self.command(road, *words), cwd=self.project, env=environ)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    made = Real(tmp_path_factory.mktemp("real"))
    yield made
    made.reader.close()
    made.sandbox.close()


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_workers_of_pytest(real: Real, road: str) -> None:
    output = real.output(road, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_where.py")
    assert "4 passed" in output
    told = list(real.pipe.parent.glob("told.gw*"))
    assert len(told) == 2
    for path in told:
        assert json.loads(path.read_text()) == real.where
        path.unlink()


def test_workers_of_joblib_and_loky(real: Real, road: str) -> None:
    answers = json.loads(real.output(road, "parallel.py"))
    assert {name: places for name, places in answers.items() if real.where not in places} == {}
    assert all(place == real.where for places in answers.values() for place in places)


def test_workers_of_dask(real: Real, road: str, tmp_path: Path) -> None:
    assert json.loads(real.output(road, "cluster.py", str(tmp_path))) == [real.where, real.where]


def test_gunicorn_reloads_and_starts_itself_again(real: Real, road: str) -> None:
    words = ("-m", "gunicorn", "-c", "web.py", "-b", f"unix:{real.project}/web.sock", "web:app")
    first = real.serve(road, *words)
    second = 0
    try:
        where, master, _ = real.told()
        assert (where, master) == (real.where, first.pid)
        first.send_signal(signal.SIGHUP)
        where, master, _ = real.told()
        assert (where, master) == (real.where, first.pid)
        # A new program beside the old one.
        first.send_signal(signal.SIGUSR2)
        where, second, _ = real.told()
        assert where == real.where
        assert second != first.pid
    finally:
        for process in filter(None, (first.pid, second)):
            os.kill(process, signal.SIGTERM)
        first.communicate(timeout=100)


def test_uvicorn_reloads(real: Real, road: str) -> None:
    process = real.serve(road, "-m", "uvicorn", "--reload", "--uds", f"{real.project}/asgi.sock", "web:asgi")
    try:
        assert real.told()[0] == real.where
        # The reloader notes the time of a file when it first looks; a change before that is none.
        for later in range(100):
            os.utime(real.project / "web.py", (time.time() + later * 100,) * 2)
            if select.select([real.reader], [], [], 1)[0]:
                break
        assert real.told()[0] == real.where
    finally:
        process.terminate()
        process.communicate(timeout=100)


def test_a_worker_of_celery(real: Real, road: str) -> None:
    process = real.serve(road, "-m", "celery", "-A", "tasks", "worker", "-c", "1", "--without-mingle")
    try:
        where, parent, _ = real.told()
        assert (where, parent) == (real.where, process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=100)


def test_namespaces_of_every_age(real: Real, road: str) -> None:
    files, once, listed, resource, version, plugins, paths = json.loads(
        real.output(road, "-W", "ignore", "spaces.py") if road == "hook" else real.output(road, "spaces.py")
    )
    assert [file for file in files if not file.startswith(real.path_set)] == []
    assert (once, listed, resource, version) == (True, True, True, "5.4.0")
    assert plugins
    assert paths == [1, 1, 1]
