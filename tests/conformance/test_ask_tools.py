"""A slice of `tests.conformance.ask`: uv, poetry, pdm, pipenv and pip asked about a few locks, now."""

from __future__ import annotations

from pathlib import Path

import pytest

from .ask import ask, where_to_ask
from .compare import corpus_directory
from .places import HERE
from .tools import Toolbox

CORPUS = corpus_directory()
SLICE = {
    "uv": ("uv/pallets__flask/83dbcb222/uv.lock", "generated/uv-r5-all-sources/uv.lock"),
    "script-lock": ("script-lock/astral-sh__uv/26a9dd4b2/crates/uv-python/fetch-download-metadata.py.lock",),
    "pylock": ("generated/pylock-pdm-project-root/pylock.toml",),
    "poetry": ("poetry/Fuyukai__pg-purepy/60f2a8e12/poetry.lock",),
    "pdm": ("pdm/GraiaProject__Avilla/10325854d/pdm.lock",),
    "pipfile": ("pipfile/pypa__pipenv/252a0c916/Pipfile.lock",),
    "requirements": ("requirements/python__mypy/8b3e7d8b9/test-requirements.txt",),
}
PLACES = {("3.12", HERE), ("3.13", "aarch64-apple-darwin")}

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus of lockfiles at {CORPUS}"),
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return Toolbox(tmp_path_factory.mktemp("tools"))


@pytest.mark.parametrize("form", SLICE)
def test_the_tool_says_the_same(form: str, tools: Toolbox) -> None:
    where = tuple(place for place in where_to_ask() if (place.version, place.platform) in PLACES)
    if not where:
        pytest.skip("no CPython 3.12 or 3.13 on this machine")
    locks = [CORPUS / name for name in SLICE[form]]
    asked = ask(form, locks, CORPUS, tools, where, thorough=False)
    if asked.skipped:
        pytest.skip(asked.skipped)
    assert asked.different == []
    assert asked.total("equal") >= len(where)


def test_the_slice_is_there() -> None:
    lacking = [name for names in SLICE.values() for name in names if not Path(CORPUS / name).is_file()]
    assert lacking == []
