"""The set index: FileFinder's precedence, for one interpreter's suffixes, in one bytes object."""

from __future__ import annotations

import json
import marshal
import subprocess
from pathlib import Path

import pytest

from sprawld.pathsets.setindex import MODULE, NAMESPACE, PACKAGE, decode, encode, importable
from tests.support.interpreters import on_each_interpreter
from tests.support.workshop import environment_of

SUFFIXES = (".cpython-312-x86_64-linux-gnu.so", ".abi3.so", ".so", ".py", ".pyc")


def test_kinds() -> None:
    top = importable(["six.py"], {"pandas": ["__init__.py"], "google": []}, SUFFIXES)
    assert top == {
        "six": (MODULE, "six.py"),
        "pandas": (PACKAGE, "pandas/__init__.py"),
        "google": (NAMESPACE, "google"),
    }


@pytest.mark.parametrize(
    ("files", "directories", "expected"),
    [
        (["a.py"], {"a": ["__init__.py"]}, (PACKAGE, "a/__init__.py")),
        (["a.py"], {"a": []}, (MODULE, "a.py")),
        (["a.pyc", "a.py"], {}, (MODULE, "a.py")),
        (["a.py", "a.so", "a.abi3.so"], {}, (MODULE, "a.abi3.so")),
        (["a.abi3.so", f"a{SUFFIXES[0]}"], {}, (MODULE, f"a{SUFFIXES[0]}")),
        ([], {"a": ["__init__.py", "__init__.abi3.so"]}, (PACKAGE, "a/__init__.abi3.so")),
        (["a.py"], {"a": ["__init__.cpython-311-x86_64-linux-gnu.so"]}, (MODULE, "a.py")),
        ([], {"a": ["__init__.cpython-311-x86_64-linux-gnu.so"]}, (NAMESPACE, "a")),
    ],
)
def test_precedence(files: list[str], directories: dict[str, list[str]], expected: tuple[int, str]) -> None:
    assert importable(files, directories, SUFFIXES) == {"a": expected}


@pytest.mark.parametrize(
    "name",
    [
        "a.cpython-311-x86_64-linux-gnu.so",
        "a.cpython-312-darwin.so",
        "README",
        "x.pth",
        ".py",
        "a.b.py",
        "a.pyi",
    ],
)
def test_files_that_cannot_be_imported(name: str) -> None:
    assert importable([name], {}, SUFFIXES) == {}


def test_directories_that_cannot_be_imported() -> None:
    assert importable([], {"numpy.libs": [], "demo-1.0.dist-info": []}, SUFFIXES) == {}


def test_round_trip() -> None:
    top = {"b": (MODULE, "b.py"), "a": (NAMESPACE, "a")}
    index = decode(encode("cpython-312", "/store/sets/x", "/store/sets/x/lib", top))
    assert index == (2, "cpython-312", "/store/sets/x", "/store/sets/x/lib", top, None, (), {})
    assert list(index.top) == ["a", "b"]


def test_links_that_lead_to_modules_are_kept() -> None:
    links = {"b": "2" * 64, "ns/a.py": "1" * 64, "ns/a.txt": "3" * 64, "b-1.dist-info": "2" * 64}
    index = decode(encode("cpython-312", "/s", "/s/lib", {}, start_up=["z.pth", "a.pth"], links=links))
    assert index.start_up == ("a.pth", "z.pth")
    assert {path: index.digests[position] for path, position in index.owners.items()} == {
        "b": "2" * 64,
        "ns/a.py": "1" * 64,
    }


@on_each_interpreter()
def test_every_interpreter_reads_it(python: Path, tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(encode("tag", "/s\udc80", "/s/lib", {"naïve": (MODULE, "naïve.py")}))
    code = "import marshal, sys; print(ascii(marshal.load(open(sys.argv[1], 'rb'))[4]))"
    command = [python, "-I", "-S", "-c", code, path]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert output == "{'na\\xefve': (1, 'na\\xefve.py')}\n"
    assert marshal.loads(path.read_bytes())[2] == "/s\udc80"


_FIND = """
import json, sys
from importlib.machinery import PathFinder
found = {}
for name in json.loads(sys.argv[2]):
    spec = PathFinder.find_spec(name, [sys.argv[1]])
    if spec is not None:
        inside = list(spec.submodule_search_locations or ())
        found[name] = [spec.origin if spec.has_location else None, inside]
print(json.dumps(found))
"""


@on_each_interpreter()
def test_it_answers_as_file_finder_does(python: Path, tmp_path: Path) -> None:
    suffixes = environment_of(python).module_suffixes
    files = [
        "both.py",
        "only.py",
        "six.pyc",
        "six.py",
        "odd-name.py",
        "foreign.cpython-27-x.so",
        "space name.py",
    ]
    files += [f"many{suffix}" for suffix in suffixes]
    inits: dict[str, list[str]] = {
        "both": ["__init__.py"],
        "only": [],
        "space": [],
        "packed": ["__init__.pyc", "__init__.py"],
        "native": [f"__init__{suffixes[0]}", "__init__.py"],
        "foreign": ["__init__.cpython-27-x.so"],
        "x.libs": [],
    }
    for name in files:
        (tmp_path / name).touch()
    for directory, names in inits.items():
        (tmp_path / directory).mkdir()
        for name in names:
            (tmp_path / directory / name).touch()
    top = importable(files, inits, suffixes)
    asked = sorted({name.partition(".")[0] for name in (*files, *inits)} | {"absent", "x.libs"})
    answer = subprocess.run(
        [python, "-I", "-S", "-c", _FIND, tmp_path, json.dumps(asked)], capture_output=True, check=True
    ).stdout
    expected = {}
    for name, (kind, relative) in top.items():
        path = f"{tmp_path}/{relative}"
        inside = {PACKAGE: [f"{tmp_path}/{name}"], MODULE: [], NAMESPACE: [path]}[kind]
        expected[name] = [None if kind == NAMESPACE else path, inside]
    assert json.loads(answer) == expected
