"""What executing a module of a set does to the garbage collector and to tracebacks."""

from __future__ import annotations

import gc
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.packs import pack_entries
from tests.support.sets import HandmadeSet, make_set
from virtual_sprawl import finder

TREE = {
    "outer.py": """
import gc

class Ring:
    pass

ring = Ring()
ring.itself = ring
del ring
kept = [[] for _ in range(5000)]
constants = tuple(map(str, range(10)))
thresholds = gc.get_threshold()
generations = len(gc.get_objects(generation=0)) > 5000
""",
    "chooses.py": "import gc\ngc.set_threshold(500, 7, 8)\n",
    "fails.py": "def fail():\n    raise LookupError('told')\nfail()\n",
    "syntax.py": "print 1\n",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> HandmadeSet:
    result = make_set(tmp_path_factory.mktemp("executing"), Path(sys.executable), TREE)
    pack_entries(result.path.parents[1], Path(sys.executable))
    return result


@pytest.fixture(autouse=True)
def chosen() -> Iterator[tuple[int, int, int]]:
    before, enabled = gc.get_threshold(), gc.isenabled()
    gc.set_threshold(700, 10, 10)
    gc.enable()
    yield (700, 10, 10)
    gc.set_threshold(*before)
    (gc.enable if enabled else gc.disable)()
    gc.unfreeze()


def execute(made: HandmadeSet, name: str) -> ModuleType:
    """Execute a module as the import system does."""
    spec = finder.SetIndex(made.index, str(made.path)).path_hook()(str(made.site_packages)).find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_thresholds_are_those_of_before(made: HandmadeSet, chosen: tuple[int, int, int]) -> None:
    module = execute(made, "outer")
    assert gc.get_threshold() == chosen
    assert module.thresholds[0] > chosen[0]
    assert module.thresholds[1:] == chosen[1:]
    # Nothing was collected on the way, and all of it is old now.
    assert module.generations
    assert any(found is module.kept for found in gc.get_objects(generation=2))
    assert gc.get_freeze_count() == 0


def test_what_an_import_leaves_was_looked_at_once(made: HandmadeSet) -> None:
    seen: list[int] = []

    def look(phase: str, information: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(information["generation"])

    gc.callbacks.append(look)
    try:
        module = execute(made, "outer")
    finally:
        gc.callbacks.remove(look)
    assert seen == [0]
    # Garbage is gone, and the collector no longer follows what can be in no ring.
    assert not any(isinstance(found, module.Ring) for found in gc.get_objects())
    assert not gc.is_tracked(module.constants)


def test_a_threshold_that_a_module_sets_stays(made: HandmadeSet) -> None:
    execute(made, "chooses")
    assert gc.get_threshold() == (500, 7, 8)


def test_a_threshold_above_ours_stays(made: HandmadeSet) -> None:
    gc.set_threshold(50_000, 5, 5)
    assert execute(made, "outer").thresholds == (50_000, 5, 5)


def test_a_collector_that_is_off_stays_off(made: HandmadeSet) -> None:
    gc.set_threshold(0)
    assert execute(made, "outer").thresholds[0] == 0
    gc.set_threshold(700, 10, 10)
    gc.disable()
    module = execute(made, "outer")
    assert not gc.isenabled()
    assert any(found is module.kept for found in gc.get_objects(generation=0))


def test_what_a_program_froze_stays_frozen(made: HandmadeSet) -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    execute(made, "outer")
    assert gc.get_freeze_count() >= count - 10  # some of them may have died


@pytest.mark.parametrize(("name", "kind"), [("fails", LookupError), ("syntax", SyntaxError)])
def test_tracebacks_show_nothing_of_ours(
    made: HandmadeSet, name: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    entrance = finder.SetIndex(made.index, str(made.path)).entrance()
    monkeypatch.setattr(sys, "path_hooks", [entrance.path_hook(), *sys.path_hooks])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.syspath_prepend(str(made.site_packages))
    with pytest.raises(kind) as raised:
        __import__(name)
    frames = traceback.extract_tb(raised.value.__traceback__)
    files = {Path(frame.filename).name for frame in frames}
    assert files == {Path(__file__).name} | ({"fails.py"} if name == "fails" else set())
