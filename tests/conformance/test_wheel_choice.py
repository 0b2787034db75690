"""The file that is taken of a release, against the code of pip, uv, poetry and pdm itself.

pip runs in the interpreter of the tests; the others are installed, and skipped visibly where that fails.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from sprawld.acquire.environment import describe
from sprawld.lockfiles.choose import choose_from
from sprawld.model import Artifact, Pin, Source

from .ask_uv import by_name
from .chosen import PROBES, ask_probe, question
from .places import HERE, PLATFORMS, places
from .stubs import StubServer, stub_sha256
from .tools import Toolbox, ToolMissingError
from .wheel_sets import NONE, our_choices, releases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sprawld.model import Environment

PLACES = [
    (python, platform)
    for python in ("3.9.18", "3.12.1", "3.13.0", "3.13.0t")
    for platform in (
        "linux-x86_64",
        "x86_64-manylinux_2_17",
        "linux-aarch64",
        "musllinux-x86_64",
        "macos-arm64",
        "macos-x86_64",
        "windows-x86_64",
    )
]
needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this interpreter has no pip")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return Toolbox(tmp_path_factory.mktemp("tools"))


def pip_question(
    wheels: Mapping[str, list[str]], environment: Environment, yanked: tuple[str, ...] = ()
) -> dict[str, Any]:
    free_threaded = environment.library.endswith("t")
    return {
        "platforms": list(dict.fromkeys(tag.platform for tag in environment.tags if tag.platform != "any")),
        "version": environment.version[:2],
        "abi": f"cp3{environment.version[1]}{'t' if free_threaded else ''}",
        "packages": wheels,
        "yanked": yanked,
    }


def pip_choices(questions: list[dict[str, Any]]) -> list[dict[str, str]]:
    probe = Path(__file__).with_name("pip_finder.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", probe],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    return [{name: filename or NONE for name, filename in answer.items()} for answer in answers]


@needs_pip
def test_pip_takes_the_same() -> None:
    # Until 24.2 pip knew no free-threaded builds, and gave them the stable ABI.
    knows_threads = Version(importlib.metadata.version("pip")) >= Version("24.2")
    environments = [describe(*place) for place in PLACES if knows_threads or not place[0].endswith("t")]
    wheels = [releases(150, seed=seed) for seed, _ in enumerate(environments)]
    theirs = pip_choices(list(map(pip_question, wheels, environments)))
    ours = [our_choices(*pair, "pylock 1.0") for pair in zip(wheels, environments, strict=True)]
    assert ours == theirs
    # The question is worth asking: something fits often enough, and often not.
    taken = [filename for answer in ours for filename in answer.values()]
    assert len(taken) // 4 < taken.count(NONE) < len(taken) * 3 // 4


NAMED = {
    "build tags are numbers": ["a-1-2-py3-none-any.whl", "a-1-10-py3-none-any.whl", "a-1-py3-none-any.whl"],
    "a build tag does not make up for a tag": ["a-1-9-py3-none-any.whl", "a-1-py312-none-any.whl"],
    "the stable ABI of the newest version": [
        "a-1-cp38-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp311-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp313-abi3-manylinux_2_17_x86_64.whl",
    ],
    "the platform before the version of the ABI": [
        "a-1-cp311-abi3-manylinux_2_5_x86_64.manylinux1_x86_64.whl",
        "a-1-cp38-abi3-manylinux_2_28_x86_64.whl",
    ],
    "a wheel of one architecture before universal2": [
        "a-1-cp312-cp312-macosx_11_0_universal2.whl",
        "a-1-cp312-cp312-macosx_11_0_arm64.whl",
        "a-1-cp312-cp312-macosx_10_9_x86_64.whl",
    ],
    "a newer universal2 before an older wheel of one architecture": [
        "a-1-cp312-cp312-macosx_12_0_universal2.whl",
        "a-1-cp312-cp312-macosx_11_0_arm64.whl",
        "a-1-cp312-cp312-macosx_11_0_x86_64.whl",
    ],
    "musl": [
        "a-1-cp312-cp312-musllinux_1_1_x86_64.whl",
        "a-1-cp312-cp312-musllinux_1_2_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
    ],
    "a local version": ["a-1+cu121-cp312-cp312-linux_x86_64.whl", "a-1+cu121-py3-none-any.whl"],
    "the sdist last": ["a-1.tar.gz", "a-1-cp39-cp39-win_amd64.whl"],
    "nothing": ["a-1-cp39-cp39-win_amd64.whl"],
}


@needs_pip
@pytest.mark.parametrize(
    "platform", ["linux-x86_64", "musllinux-x86_64", "macos-arm64", "macos-x86_64"], ids=str
)
def test_pip_takes_the_same_of_named_cases(platform: str) -> None:
    environment = describe("3.12.1", platform)
    (theirs,) = pip_choices([pip_question(NAMED, environment)])
    for order in ("", "reversed"):
        wheels = {name: files[::-1] if order else files for name, files in NAMED.items()}
        assert our_choices(wheels, environment, "requirements") == theirs


@needs_pip
def test_pip_passes_over_yanked_files_as_we_do() -> None:
    environment = describe("3.12.1", "linux-x86_64")
    best, pure = "a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-py3-none-any.whl"
    for yanked in ((), (best,), (pure,), (best, pure)):
        (theirs,) = pip_choices([pip_question({"a": [pure, best]}, environment, yanked)])
        files = tuple(Artifact(filename=name, yanked=name in yanked) for name in (pure, best))
        pin = Pin(name="a", version="1", source=Source(kind="registry"), artifacts=files)  # type: ignore[arg-type]
        chosen = choose_from(files, pin, environment).artifact
        assert chosen is not None
        assert chosen.filename == theirs["a"]


@pytest.mark.network
@pytest.mark.parametrize("tool", sorted(PROBES))
def test_poetry_and_pdm_take_the_same(tools: Toolbox, tool: str) -> None:
    where, _ = places(("3.9", "3.12", "3.13"), [name for name in PLATFORMS if name != HERE])
    wheels = {place: releases(150, seed=seed) for seed, place in enumerate(where)}
    questions = [
        question(place, {name: ["1.0", files] for name, files in wheels[place].items()}) for place in where
    ]
    try:
        answers = ask_probe(tools, tool, questions)
    except ToolMissingError as error:
        pytest.skip(str(error))
    for place, answer in zip(where, answers, strict=True):
        ours = our_choices(wheels[place], place.environment, tool)
        theirs = {name: filename or NONE for name, filename in answer.items()}
        if tool == "pdm":
            # pdm finds no wheel for another minor version fit, unless it has the stable ABI.
            ours = {name: filename for name, filename in ours.items() if theirs[name] != NONE}
            theirs = {name: filename for name, filename in theirs.items() if filename != NONE}
        assert ours == theirs


UV_PROJECT = (
    '[project]\nname = "app"\nversion = "1.0"\nrequires-python = ">=3.9"\n[tool.uv]\npackage = false\n'
)


@pytest.mark.network
def test_uv_takes_the_same(tools: Toolbox, tmp_path: Path) -> None:
    where, _ = places(("3.9", "3.12", "3.13"), [name for name in PLATFORMS if name != HERE])
    try:
        uv = tools.uv
    except ToolMissingError as error:
        pytest.skip(str(error))
    for seed, place in enumerate(where):
        with StubServer() as server:
            wheels = releases(150, seed=seed)
            ours = our_choices(wheels, place.environment, "uv")
            fitting = {name: files for name, files in wheels.items() if ours[name] != NONE}
            project = tmp_path / f"{seed}"
            project.mkdir()
            (project / "pyproject.toml").write_text(UV_PROJECT)
            (project / "uv.lock").write_text(uv_lock(fitting, server))
            command = [uv, "sync", "--frozen", "--no-cache", "-q", "--python", place.python]
            command += ["--python-platform", place.platform]
            done = subprocess.run(
                command, cwd=project, env=tools.environ(), capture_output=True, text=True, timeout=100
            )
            assert done.returncode == 0, done.stderr
            assert by_name(server.take("0")) == {name: ours[name] for name in fitting}


def uv_lock(wheels: Mapping[str, list[str]], server: StubServer) -> str:
    edges = ", ".join(f'{{ name = "{name}" }}' for name in wheels)
    text = 'version = 1\nrevision = 3\nrequires-python = ">=3.9"\n\n'
    text += '[[package]]\nname = "app"\nversion = "1.0"\nsource = { virtual = "." }\n'
    text += f"dependencies = [{edges}]\n"
    for name, filenames in wheels.items():
        version = filenames[0].split("-")[1]
        files = ",\n".join(
            f'{{ url = "{server.url("0", filename)}", hash = "sha256:{stub_sha256(filename)}" }}'
            for filename in filenames
        )
        source = 'source = { registry = "https://index.example.org/simple" }'
        text += f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n{source}\nwheels = [\n{files}]\n'
    return text
