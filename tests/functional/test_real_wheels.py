"""Small real wheels of odd layout, by both roads: `sprawl run`, and the hook in the user's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sprawld.acquire.settings import default_index
from tests.support.interpreters import interpreters
from tests.support.sandbox import Sandbox
from tests.support.sets import install_hook

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(400)]

LOCK = """\
nvidia-nvtx-cu12==12.9.79
nvidia-nvjitlink-cu12==12.1.105
tbb==2021.13.1
azure-core==1.32.0
azure-core-tracing-opentelemetry==1.0.0b11
typing-extensions==4.12.2
requests==2.32.3
urllib3==2.2.3
idna==3.10
certifi==2024.12.14
charset-normalizer==3.4.1
six==1.17.0
opentelemetry-api==1.29.0
deprecated==1.2.15
wrapt==1.17.0
importlib-metadata==8.5.0
zipp==3.21.0
ruff==0.8.4
cmake==3.31.2
ninja==1.11.1.3
ipykernel==6.29.5
jupyterlab-widgets==3.0.13
greenlet==3.1.1
"""

LOOK = """
import ctypes, glob, json, os, site, subprocess, sys, sysconfig
import azure.core, azure.core.tracing.ext.opentelemetry_span as span
import cmake, ninja, nvidia, nvidia.nvjitlink, nvidia.nvtx
from ruff.__main__ import find_ruff_bin
def first(*command):
    return subprocess.check_output(command, text=True).split("\\n")[0]
def below(path):
    return os.path.relpath(path, sys.prefix)
home = os.path.join(sys.prefix, "lib")
packages = sysconfig.get_path("purelib")
print(json.dumps({
    "prefix": sys.prefix, "executable": sys.executable,
    "sites": [below(path) for path in site.getsitepackages()],
    "paths": {name: below(sysconfig.get_path(name)) for name in ("purelib", "platlib", "scripts", "data")},
    "nvidia": below(nvidia.__file__),
    # As torch looks for its CUDA libraries.
    "cuda": sorted(below(f) for p in sys.path for f in glob.glob(p + "/nvidia/*/lib/*.so*")),
    "nvjitlink": bool(ctypes.CDLL(packages + "/nvidia/nvjitlink/lib/libnvJitLink.so.12")),
    "tbb": ctypes.CDLL(home + "/libtbb.so.12").TBB_runtime_interface_version(),
    "tbbmalloc": bool(ctypes.CDLL(home + "/libtbbmalloc_proxy.so.2")),
    "azure": [below(azure.core.__file__), below(span.__file__)],
    "ruff": [below(find_ruff_bin()), first(find_ruff_bin(), "--version")],
    "cmake": first(cmake.CMAKE_BIN_DIR + "/cmake", "--version"),
    "scripts": [first("cmake", "--version"), first("ninja", "--version")],
    "ninja": [below(ninja.BIN_DIR), first(ninja.BIN_DIR + "/ninja", "--version")],
    "jupyter": sorted(os.listdir(os.path.join(sys.prefix, "share", "jupyter"))),
    "include": [below(f) for f in glob.glob(sys.prefix + "/include/**/greenlet.h", recursive=True)],
}))
"""


class Both:
    """A project, and the two ways to run on its packages."""

    def __init__(self, directory: Path) -> None:
        found = interpreters()
        if "3.11" not in found:
            pytest.skip("no Python 3.11")
        self.python = found["3.11"]
        self.sandbox = Sandbox(directory / "user", index=default_index())
        self.project = self.sandbox.project("app", {"look.py": LOOK}, LOCK.splitlines())
        install_hook(self.sandbox.home / ".local/lib/python3.11/site-packages", self.python)
        outcome = self.sandbox.sprawl(
            "sync", "--print-path", "--python", self.python, cwd=self.project, check=False
        )
        if "[net." in outcome.stderr or "[select." in outcome.stderr:
            pytest.skip(f"no package index answers: {outcome.stderr.strip()}")
        assert outcome.returncode == 0, outcome.stderr
        self.path_set = Path(outcome.stdout.strip())

    def look(self, road: str) -> Any:
        script = self.project / "look.py"
        path = f"{self.path_set}/bin:{self.sandbox.environ['PATH']}"
        if road == "run":
            outcome = self.sandbox.sprawl("run", "--python", self.python, script, env={"PATH": path})
        else:
            outcome = self.sandbox.run(self.python, script, env={"VIRTUAL_SPRAWL": "1", "PATH": path})
        return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    made = Both(tmp_path_factory.mktemp("both"))
    yield made
    made.sandbox.close()


@pytest.mark.parametrize("road", ["run", "hook"])
def test_programs_libraries_and_data_are_found(both: Both, road: str) -> None:
    found = both.look(road)
    packages = "lib/python3.11/site-packages"
    assert found["prefix"] == str(both.path_set)
    assert found["executable"] == str(both.path_set / "bin/python")
    assert found["sites"] == [packages]
    assert found["paths"] == {"purelib": packages, "platlib": packages, "scripts": "bin", "data": "."}
    # One of the two has nvidia/__init__.py, the other one not.
    assert found["nvidia"] == f"{packages}/nvidia/__init__.py"
    assert found["cuda"] == [
        f"{packages}/nvidia/nvjitlink/lib/libnvJitLink.so.12",
        f"{packages}/nvidia/nvtx/lib/libnvtx3interop.so.1",
    ]
    assert (found["nvjitlink"], found["tbb"], found["tbbmalloc"]) == (True, 12130, True)
    assert found["azure"] == [
        f"{packages}/azure/core/__init__.py",
        f"{packages}/azure/core/tracing/ext/opentelemetry_span/__init__.py",
    ]
    assert found["ruff"] == ["bin/ruff", "ruff 0.8.4"]
    assert found["cmake"] == found["scripts"][0] == "cmake version 3.31.2"
    assert found["ninja"][0] == "bin"
    assert found["ninja"][1] == found["scripts"][1]
    assert found["jupyter"] == ["kernels", "labextensions"]
    assert sorted(found["include"]) == [
        "include/greenlet/greenlet.h",
        "include/site/python3.11/greenlet/greenlet.h",
    ]


def test_the_set_s_own_interpreter_needs_nothing(both: Both) -> None:
    environ = {"PATH": f"{both.path_set}/bin:{os.defpath}"}
    command = [both.path_set / "bin/python", "-I", both.project / "look.py"]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == both.look("run")


def test_doctor_has_nothing_against_them(both: Both) -> None:
    outcome = both.sandbox.sprawl("doctor", "--python", both.python, "--json", cwd=both.project)
    found = {finding["code"]: finding["level"] for finding in json.loads(outcome.stdout)["findings"]}
    assert found["lock.unpinned"] == "warning"
    assert not {"conflict.code", "startup.refused", "set.not-made"} & found.keys()


@pytest.mark.skipif(
    "SPRAWL_TEST_LARGE" not in os.environ, reason="200 MB of Qt; set SPRAWL_TEST_LARGE to run it"
)
def test_pyside_lies_in_a_bundle_with_shiboken(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "user", index=default_index())
    try:
        lines = ["pyside6-essentials==6.8.1", "shiboken6==6.8.1"]
        project = sandbox.project("app", {}, lines)
        code = "import PySide6.QtCore as c, shiboken6; print(c.__file__, shiboken6.__version__, c.qVersion())"
        outcome = sandbox.sprawl("run", "-c", code, cwd=project)
        file, *versions = outcome.stdout.split()
        assert versions == ["6.8.1", "6.8.1"]
        assert "/sets/" in file
        (row,) = sandbox.ctl("ls")["bundles"]
        assert row["packages"] == ["pyside6-essentials==6.8.1", "shiboken6==6.8.1"]
    finally:
        sandbox.close()
