"""T8: store, gc and leases as a state machine: any order of uses, deaths, reboots and collections."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sprawld.store import leases
from tests.property.test_store import StoreMachine

from .programme import Context, Outcome

TITLE = "state machine of store, gc and leases"
BAR = "200 examples of 40 steps: every promise holds after every step"


def run(context: Context) -> Outcome:
    outcome = context.outcome
    examples, steps = context.count(200, 10), context.count(40, 20)
    error = machine(examples, steps, context.seed)
    outcome.expect(not error, error)
    outcome.figures = {
        "examples": examples,
        "steps of each": f"up to {steps}",
        "broken promises": int(bool(error)),
    }
    _control(context, outcome)
    return outcome


def machine(examples: int, steps: int, number: int) -> str:
    """Run the machine; return what broke, or the empty string."""
    shown = io.StringIO()
    rules = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            run_state_machine_as_test(seed(number)(StoreMachine), settings=rules)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {str(error)[:300]}"
    return ""


@contextlib.contextmanager
def careless(path: Path) -> Iterator[bool]:
    """Take every set for one that nobody leases."""
    yield True


def _control(context: Context, outcome: Outcome) -> None:
    """A gc that takes every set for one that nobody leases."""
    exclusive, is_leased = leases.exclusive, leases.is_leased
    leases.exclusive, leases.is_leased = careless, lambda path: False  # type: ignore[assignment]
    try:
        error = machine(context.count(100, 60), 40, context.seed)
    finally:
        leases.exclusive, leases.is_leased = exclusive, is_leased
    outcome.control = f"with leases that nobody looks at: {error.partition(':')[0] or 'nothing broke'}"
    outcome.control_failed = bool(error)
