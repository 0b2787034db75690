"""Libraries and programs in the places where wheels have them, used through a set."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import binaries
from tests.support.interpreters import newest
from tests.support.workshop import Workshop

pytestmark = pytest.mark.functional

IMPORTS = "import ctypes, glob, json, os, sys\n"
COUNTER = "static int calls; int count(void) { return ++calls; }"


def ask(path: Path, code: str) -> Any:
    """Run code with the set's own interpreter; return the JSON that it prints."""
    command: list[str | Path] = [path / "bin/python", "-I", "-c", IMPORTS + code]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={"PATH": os.defpath})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def test_libraries_beside_the_package_as_auditwheel_puts_them(workshop: Workshop) -> None:
    built = workshop.store.parent / "c"
    value = binaries.library(built, "libvalue-1a2b.so.1", "int value(void) { return 41; }")
    user = binaries.extension(built, "libvalue-1a2b.so.1", "$ORIGIN/../user.libs")
    files: dict[str, str | bytes] = {
        "user/__init__.py": "",
        "user/libuser.so": user,
        "user.libs/libvalue-1a2b.so.1": value,
    }
    path = workshop.build(newest(), workshop.entry("user", files=files))
    assert json.loads((path / "set.json").read_text())["bundles"] == []
    code = """
import importlib.util, pkgutil, user
site_packages = os.path.dirname(os.path.dirname(user.__file__))
answer = ctypes.CDLL(os.path.dirname(user.__file__) + "/libuser.so").answer()
names = [module.name for module in pkgutil.iter_modules([site_packages])]
print(json.dumps([answer, "user.libs" in names, "user.libs" in os.listdir(site_packages)]))
"""
    assert ask(path, code) == [42, False, True]


def test_a_library_reached_by_two_paths_is_loaded_once(workshop: Workshop) -> None:
    counter = binaries.library(workshop.store.parent / "c", "libcounter.so", COUNTER)
    entry = workshop.entry("count", files={"count/__init__.py": "", "count/lib/libcounter.so": counter})
    path = workshop.build(newest(), entry)
    code = """
import count
file = os.path.dirname(count.__file__) + "/lib/libcounter.so"
real = os.path.realpath(file)
print(json.dumps([file != real, *(ctypes.CDLL(name).count() for name in (file, real, file))]))
"""
    assert ask(path, code) == [True, 1, 2, 3]


def test_a_library_that_is_looked_for_along_sys_path(workshop: Workshop) -> None:
    """As torch preloads the libraries of nvidia-*: by the names of files below each directory of sys.path."""
    built = workshop.store.parent / "c"
    entries = []
    for number, name in enumerate(("one", "two")):
        library = binaries.library(built, f"lib{name}.so", f"int value(void) {{ return {number}; }}")
        entries.append(workshop.entry(f"nvidia-{name}", files={f"nvidia/{name}/lib/lib{name}.so": library}))
    code = """
found = sorted(file for path in sys.path for file in glob.glob(path + "/nvidia/*/lib/lib*.so"))
print(json.dumps([ctypes.CDLL(file).value() for file in found]))
"""
    assert ask(workshop.build(newest(), *entries), code) == [0, 1]


def test_programs_in_packages_may_be_executed_and_nothing_is_setuid(workshop: Workshop) -> None:
    files = {"driver/__init__.py": "", "driver/bin/node": "#!/bin/sh\necho node\n", "driver/plain": "x"}
    modes = {"driver/bin/node": 0o4755, "driver/plain": 0o644}
    path = workshop.build(newest(), workshop.entry("driver", files=files, modes=modes))
    code = """
import driver, stat, subprocess
base = os.path.dirname(driver.__file__)
modes = [stat.S_IMODE(os.stat(base + name).st_mode) for name in ("/bin/node", "/plain")]
print(json.dumps([subprocess.check_output([base + "/bin/node"]).decode(), [oct(mode) for mode in modes]]))
"""
    assert ask(path, code) == ["node\n", ["0o555", "0o444"]]
