"""Properties of the lockfile readers: what they do with anything, and that they select what a lock says."""

from __future__ import annotations

import copy
import gc
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sprawld.errors import SprawlError
from sprawld.lockfiles.read import read_lock
from sprawld.model import Wanted
from tests.support.costs import measured
from tests.support.locks import DIGEST, FILES, INDEX, PLAIN, linux, names, refusal, windows, write

pytestmark = pytest.mark.property

LOCK_NAMES = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
    "tool.py.lock",
    "Pipfile.lock",
    "requirements.txt",
)
EVERYTHING = Wanted(all_groups=True, all_extras=True)

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def survives(path: Path) -> bool:
    """Read and select; tell whether it worked. Nothing but a SprawlError that names the file may come out."""

    def read_and_select() -> None:
        lock = read_lock(path)
        for here in (linux(), windows()):
            for wanted in (PLAIN, EVERYTHING):
                pins = lock.select(here, wanted)
                assert len({pin.name for pin in pins}) == len(pins)
                assert [pin.name for pin in pins] == sorted(pin.name for pin in pins)

    caught = refusal(read_and_select)
    assert caught is None or (isinstance(caught, SprawlError) and str(path.parent) in caught.message)
    return caught is None


# --- anything at all


SECONDS = 0.1
"""Of processor time that reading one lock and selecting from it four times may take."""
BYTES = 64 << 20
ANYTHING = st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
COPIES = st.just(1) | st.integers(2, 2_000)


def survives_cheaply(path: Path) -> bool:
    # Each by itself: all together they would count what hypothesis keeps, and how the heap falls to pieces.
    with measured(settle=False) as cost:
        survived = survives(path)
    assert cost.seconds < SECONDS
    assert cost.bytes < BYTES
    return survived


@pytest.mark.parametrize("name", LOCK_NAMES)
def test_any_bytes_are_refused_or_read(directory: Path, name: str) -> None:
    survives(write(directory, name, b""))  # loads the reader

    @quick
    @given(ANYTHING, COPIES)
    def check(data: bytes, copies: int) -> None:
        survives_cheaply(write(directory, name, data * copies))

    gc.collect()
    check()


# --- a good lock with one thing wrong

WHEEL = "a-1.0-py3-none-any.whl"
HASH = f"sha256:{DIGEST}"
DOCUMENTS: dict[str, dict[str, Any]] = {
    "uv.lock": {
        "version": 1,
        "revision": 3,
        "requires-python": ">=3.8",
        "supported-markers": ["os_name != 'java'"],
        "conflicts": [[{"package": "app", "extra": "x"}, {"package": "app", "group": "g"}]],
        "manifest": {"members": ["app"], "requirements": [{"name": "a", "extras": ["y"]}]},
        "package": [
            {
                "name": "app",
                "version": "1.0",
                "source": {"virtual": "."},
                "dependencies": [{"name": "a", "extra": ["y"], "marker": "extra != 'extra-3-app-z'"}],
                "optional-dependencies": {"x": [{"name": "a"}]},
                "dev-dependencies": {"dev": [{"name": "a", "version": "1.0", "source": {"registry": INDEX}}]},
                "metadata": {"requires-dist": [{"name": "a", "specifier": ">=1"}], "provides-extras": ["x"]},
            },
            {
                "name": "a",
                "version": "1.0",
                "source": {"registry": INDEX},
                "resolution-markers": ["os_name != 'java'"],
                "optional-dependencies": {"y": []},
                "sdist": {"url": f"{FILES}/a-1.0.tar.gz", "hash": HASH, "size": 1},
                "wheels": [{"url": f"{FILES}/{WHEEL}", "hash": HASH, "size": 1}],
            },
        ],
    },
    "pylock.toml": {
        "lock-version": "1.0",
        "created-by": "test",
        "requires-python": ">=3.8",
        "environments": ["os_name != 'java'"],
        "extras": ["x"],
        "dependency-groups": ["dev"],
        "default-groups": ["dev"],
        "packages": [
            {"name": "app", "directory": {"path": ".", "editable": True}},
            {
                "name": "a",
                "version": "1.0",
                "marker": "'dev' in dependency_groups or 'x' in extras",
                "index": INDEX,
                "wheels": [{"name": WHEEL, "url": f"{FILES}/{WHEEL}", "hashes": {"sha256": DIGEST}}],
            },
            {"name": "b", "archive": {"path": "b-1.0.zip", "hashes": {"sha256": DIGEST}}},
            {"name": "g", "vcs": {"type": "git", "url": "https://example.org/g", "commit-id": "0" * 40}},
        ],
    },
    "poetry.lock": {
        "package": [
            {
                "name": "a",
                "version": "1.0",
                "optional": False,
                "python-versions": ">=3.8",
                "groups": ["main", "dev"],
                "markers": {"main": "os_name != 'java'"},
                "files": [{"file": WHEEL, "hash": HASH}],
                "dependencies": {"b": {"version": "*", "markers": "os_name == 'nt'"}},
                "extras": {"x": ["b (>=1)"]},
            },
            {
                "name": "b",
                "version": "2.0",
                "python-versions": "*",
                "groups": ["main"],
                "files": [],
                "source": {"type": "git", "url": "https://example.org/b", "resolved_reference": "0" * 40},
            },
        ],
        "extras": {"x": ["b"]},
        "metadata": {"lock-version": "2.1", "python-versions": ">=3.8", "content-hash": "0"},
    },
    "pdm.lock": {
        "metadata": {
            "groups": ["default", "dev"],
            "strategy": ["inherit_metadata"],
            "lock_version": "4.5.0",
            "targets": [{"requires_python": ">=3.8"}],
        },
        "package": [
            {
                "name": "a",
                "version": "1.0",
                "requires_python": ">=3.8",
                "groups": ["default"],
                "marker": "os_name != 'java'",
                "dependencies": ["b>=1; os_name == 'nt'"],
                "files": [{"file": WHEEL, "hash": HASH}],
            },
            {"name": "b", "version": "1.0", "groups": ["dev"], "path": "./b", "files": []},
        ],
    },
    "Pipfile.lock": {
        "_meta": {
            "hash": {"sha256": DIGEST},
            "pipfile-spec": 6,
            "requires": {"python_version": "3.12"},
            "sources": [{"name": "main", "url": INDEX, "verify_ssl": True}],
        },
        "default": {
            "a": {"version": "==1.0", "hashes": [HASH], "index": "main", "markers": "os_name != 'java'"}
        },
        "develop": {"b": {"git": "https://example.org/b", "ref": "0" * 40}},
    },
}


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def render(name: str, document: dict[str, Any]) -> str:
    if name == "Pipfile.lock":
        return json.dumps(document)
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())


def places(value: object) -> Iterator[Callable[[Any], None]]:
    """Yield, for every place in a document, a function that puts another value there (None: takes it out)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):

        def put(other: Any, container: Any = value, key: Any = key) -> None:
            if other is None:
                del container[key]
            else:
                container[key] = other

        yield put
        yield from places(item)


# Half surrogates cannot be written, and a float has no place in any lock.
WORDS = st.sampled_from(
    [
        "",
        "a",
        "../x",
        "*",
        ">=3.8",
        "1.0",
        "os_name == 'nt'",
        "extra == 'x'",
        "file:///x",
        "git+ext::x",
        "\x1b[2J",
    ]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=8)
VALUES = st.recursive(
    WORDS | st.integers(-2, 10**6) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_good_lock_is_read_and_one_wrong_value_does_no_harm(directory: Path, name: str) -> None:
    place = directory / f"mutated-{name}"
    assert survives(write(place, name, render(name, DOCUMENTS[name])))
    count = sum(1 for _ in places(DOCUMENTS[name]))

    @quick
    @given(st.integers(0, count - 1), VALUES | st.none())
    def check(index: int, value: object) -> None:
        document = copy.deepcopy(DOCUMENTS[name])
        list(places(document))[index](value)
        survives_cheaply(write(place, name, render(name, document)))

    check()


# --- documents of any shape

KEYS = sorted(
    {key for document in DOCUMENTS.values() for key in re.findall(r'"([\w-]+)":', json.dumps(document))}
)
TABLES = st.recursive(
    VALUES | st.sampled_from(["2.1", "4.5.0", HASH, WHEEL, "app"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | WORDS, inner, max_size=6)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_any_document_is_refused_or_read(directory: Path, name: str) -> None:
    place = directory / f"made-up-{name}"
    survives(write(place, name, b""))
    heads = {key: value for key, value in DOCUMENTS[name].items() if not isinstance(value, list)}

    @settings(quick, max_examples=80)
    @given(st.dictionaries(st.sampled_from(KEYS) | WORDS, TABLES, max_size=8), st.booleans())
    def check(document: dict[str, Any], with_head: bool) -> None:
        # With the version of a good lock more of the document is looked at.
        survives_cheaply(write(place, name, render(name, {**heads, **document} if with_head else document)))

    gc.collect()
    check()


# --- uv locks that were made up


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[tuple[str, bool]]]:
    """Package -> what it depends on, and whether that holds on Linux (or else on Windows)."""
    count = draw(st.integers(1, 8))
    every = [f"p{number}" for number in range(count)]
    edge = st.tuples(st.sampled_from(every), st.booleans())
    return {name: draw(st.lists(edge, max_size=4)) for name in every}


@quick
@given(graphs(), st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=4))
def test_a_uv_lock_selects_what_is_reachable(
    graph: dict[str, list[tuple[str, bool]]], roots: list[tuple[int, bool]]
) -> None:
    def edges(needs: list[tuple[str, bool]]) -> list[dict[str, str]]:
        return [
            {"name": name, "marker": f"sys_platform == '{'linux' if on_linux else 'win32'}'"}
            for name, on_linux in needs
        ]

    def package(name: str, needs: list[tuple[str, bool]], **source: str) -> dict[str, Any]:
        wheel = {"url": f"{FILES}/{name}-1.0-py3-none-any.whl", "hash": HASH}
        wheels = [wheel] if "registry" in source else []
        return {
            "name": name,
            "version": "1.0",
            "source": source,
            "dependencies": edges(needs),
            "wheels": wheels,
        }

    wanted = [(f"p{number}", on_linux) for number, on_linux in roots if f"p{number}" in graph]
    packages = [package("app", wanted, virtual=".")]
    packages += [package(name, needs, registry=INDEX) for name, needs in graph.items()]
    reached, queue = set[str](), [name for name, on_linux in wanted if on_linux]
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            queue += [other for other, on_linux in graph[name] if on_linux]
    with tempfile.TemporaryDirectory() as place:
        path = write(Path(place), "uv.lock", render("uv.lock", {"version": 1, "package": packages}))
        pins = read_lock(path).select(linux(), PLAIN)
    assert names(pins) == ["app==1.0", *sorted(f"{name}==1.0" for name in reached)]
