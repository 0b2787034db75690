"""T7: whatever is done to a store is found with its exact path and repaired, and nothing else is touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.index import SimpleIndex
from tests.support.place import DAMAGE, SETS, SITE, Damage, Place, damage_set, flip, opened

from .programme import Context, Outcome

TITLE = "corruption, `verify` and `repair`"
BAR = "240 injections: 240 found with the exact path, 240 repaired, 0 others touched; offline 0 deleted"

ENTRIES = ("alpha", "beta", "gamma")
FLIPPED = (
    "{s}/{n}/__init__.py",
    "{s}/{n}/deep/data.txt",
    "{s}/{n}-1.0.dist-info/METADATA",
    "{s}/{n}/other.py",
)


class Tally:
    """What was injected, found and repaired."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.kinds: Counter[str] = Counter()
        self.injected = self.found = self.repaired = self.touched = 0

    def one(self, kind: str, what: str, work: Callable[[], tuple[bool, bool, bool]]) -> None:
        """Inject once; `work` returns whether it was found, repaired, and left everything else alone."""
        self.injected += 1
        self.kinds[kind] += 1
        try:
            found, repaired, alone = work()
        except (AssertionError, OSError) as error:
            found, repaired, alone = False, False, True
            self.outcome.fail(f"{kind}, {what}: {str(error)[:300]!r}")
        else:
            self.outcome.expect(
                found and repaired and alone, f"{kind}, {what}: {found=} {repaired=} {alone=}"
            )
        self.found += found
        self.repaired += repaired
        self.touched += not alone


def run(context: Context) -> Outcome:
    outcome = context.outcome
    tally = Tally(outcome)
    with context.directory() as root, SimpleIndex() as index:
        place = Place(root, index)
        try:
            _entries(context, place, tally)
            context.note(f"{tally.injected} injections, {len(outcome.failures)} failures")
            _sets(context, place, tally)
            _packs(context, place, tally)
            _database(context, place, tally)
            context.note(f"{tally.injected} injections, {len(outcome.failures)} failures")
            deleted = _offline(context, place, outcome)
            _control(context, place, outcome)
        finally:
            place.sandbox.close()
    outcome.figures = {
        "injections": f"{tally.injected} ({', '.join(f'{n} {kind}' for kind, n in tally.kinds.items())})",
        "found with the exact path": tally.found,
        "repaired, and sound afterwards": tally.repaired,
        "other files touched": tally.touched,
        "deleted by an offline repair": deleted,
        "beside uv": f"{tally.injected - tally.found} of {tally.injected} injections unnoticed",
    }
    return outcome


def _entries(context: Context, place: Place, tally: Tally) -> None:
    rows: list[Damage] = list(DAMAGE)
    while len(rows) < context.count(140, 8):
        where = context.random.choice(FLIPPED)
        rows.append(("a bit", where, flip(context.random.random()), "changed", where))
    for number, row in enumerate(rows if context.full else context.random.sample(rows, 8)):
        name = ENTRIES[number % len(ENTRIES)]
        tally.one("in entries", row[0], lambda: _entry(place, name, row))  # noqa: B023


def _entry(place: Place, name: str, row: Damage) -> tuple[bool, bool, bool]:
    _, where, work, kind, expected = row
    entry = place.entries[name]
    before = place.snapshot(without=entry)
    opened(entry / where.format(s=SITE, n=name), work)
    problems = place.verify("--all", code=1)["problems"]
    path = str(entry / expected.format(s=SITE, n=name))
    found = (kind, path) in {(problem["kind"], problem["path"]) for problem in problems}
    exact = {problem["name"] for problem in problems} == {entry.name}
    repaired = place.verify("--all", "--repair")["sound"] and not place.verify("--all")["problems"]
    return found and exact, repaired, place.snapshot(without=entry) == before


def _sets(context: Context, place: Place, tally: Tally) -> None:
    for row in SETS * 3 if context.full else SETS[:2]:
        tally.one("in sets", row[0], lambda: _set(place, row))  # noqa: B023


def _set(place: Place, row: tuple[str, str, Callable[[Path], object], str]) -> tuple[bool, bool, bool]:
    before = place.snapshot(without=Path())
    path = damage_set(place.set, row)
    problems = place.verify("--quick", code=1)["problems"]
    found = [(problem["kind"], problem["path"]) for problem in problems] == [(row[3], str(path))]
    repaired = place.verify("--quick", "--repair")["sound"]
    again = place.sync() == str(place.set) and not place.verify("--quick")["problems"]
    return found, repaired and again, place.snapshot(without=Path()) == before


def _packs(context: Context, place: Place, tally: Tally) -> None:
    if "packs" not in place.verify("--quick")["checked"]:
        tally.outcome.skipped.append("packs: `verify` of this version does not look at them")
        return
    for _ in range(context.count(20, 1)):
        place.sync()
        packs = sorted((place.sandbox.store / "packs").glob("*/*.pack"))
        if not packs:
            tally.outcome.skipped.append("packs: none were made")
            return
        pack = context.random.choice(packs)
        position = context.random.random()
        tally.one("in packs", pack.name[:8], lambda: _pack(place, pack, position))  # noqa: B023


def _pack(place: Place, pack: Path, position: float) -> tuple[bool, bool, bool]:
    before = place.snapshot(without=Path())
    opened(pack, flip(position))
    problems = place.verify("--all", code=1)["problems"]
    found = str(pack) in {problem["path"] for problem in problems}
    repaired = place.verify("--all", "--repair")["sound"] and not place.verify("--all")["problems"]
    return found, repaired, place.snapshot(without=Path()) == before


def _database(context: Context, place: Place, tally: Tally) -> None:
    for _ in range(context.count(50, 2)):
        tally.one("cut databases", "", lambda: _cut(place, context.random.random()))


def _cut(place: Place, part: float) -> tuple[bool, bool, bool]:
    """Cut the database somewhere while no daemon runs; a daemon that starts sets it aside and begins anew."""
    place.sync()
    place.sandbox.close()
    database = place.sandbox.store / "state.sqlite"
    aside = database.with_name("state.sqlite.damaged")
    aside.unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    before = place.snapshot(without=Path())
    size = database.stat().st_size
    # An empty file is a new database; every other length is damage.
    os.truncate(database, max(1, int(part * (size - 1))))
    place.sync()
    found = place.verify()
    named = [problem["path"] for problem in found["problems"]]
    noticed = aside.exists() or str(database) in named
    sound = place.verify("--all", "--repair")["sound"] and not place.verify("--all")["problems"]
    return noticed, sound, place.snapshot(without=Path()) == before


def _offline(context: Context, place: Place, outcome: Outcome) -> int:
    deleted = 0
    for _, where, work, kind, _ in DAMAGE if context.full else DAMAGE[:3]:
        opened(place.entries["beta"] / where.format(s=SITE, n="beta"), work)
        before = place.sandbox.tree()
        try:
            place.verify("--all", "--repair", "--offline", code=0 if kind == "mode" else 1)
        except AssertionError as error:
            outcome.fail(f"offline: {str(error)[:300]}")
        gone = before.keys() - place.sandbox.tree().keys()
        deleted += len(gone)
        outcome.expect(place.sandbox.tree() == before, f"offline: {sorted(gone)[:3]}")
        outcome.expect(place.verify("--all", "--repair")["sound"], "not repaired afterwards")
    return deleted


def _control(context: Context, place: Place, outcome: Outcome) -> None:
    """The same injections and the same check, without the hashing."""
    missed = 0
    tries = context.count(10, 2)
    for _ in range(tries):
        path = place.entries["beta"] / SITE / "beta/deep/data.txt"
        opened(path, flip(context.random.random()))
        missed += not place.verify("--quick")["problems"]
        place.verify("--all", "--repair")
    outcome.control = f"without hashing (`--quick`), {missed} of {tries} flipped bits stay unnoticed"
    outcome.control_failed = missed == tries
