"""Which of the wheels that fit is the best: each tool that writes locks has an order of its own.

pip     best supported tag, then the higher build tag; also for formats that no single tool installs
uv      the same, but a plain `linux` tag counts less than the manylinux and musllinux tags
poetry  the higher build tag, then the best supported tag
pdm     Python version, kind of ABI and platform of the tags; build tags count for nothing

The orders differ for few releases: most have one wheel for an interpreter, or none.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ._derived import Derived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packaging.tags import Tag

    from sprawld.model import Environment

    from .artifacts import WheelParts

    Preference = Callable[[WheelParts, Environment], tuple[Any, ...] | None]
    """Returns None for a wheel that does not fit; of others the greater is the better."""

__all__ = ["by_pip", "preference_of"]

_INTERPRETER: Final = re.compile(r"(?:cp|py)([0-9])([0-9]*)")


def preference_of(form: str) -> Preference:
    """Return the order of the tool that writes locks of this format (`uv 1.3`, `poetry 2.1`)."""
    return _PREFERENCES.get(form.partition(" ")[0], by_pip)


def by_pip(wheel: WheelParts, environment: Environment) -> tuple[Any, ...] | None:
    """Compare as pip does."""
    rank = _best(wheel, _ranks(environment))
    return None if rank is None else (-rank, wheel.build)


def _by_uv(wheel: WheelParts, environment: Environment) -> tuple[Any, ...] | None:
    rank = _best(wheel, _uv_ranks(environment))
    return None if rank is None else (-rank, wheel.build)


def _by_poetry(wheel: WheelParts, environment: Environment) -> tuple[Any, ...] | None:
    rank = _best(wheel, _ranks(environment))
    return None if rank is None else (wheel.build, -rank)


def _by_pdm(wheel: WheelParts, environment: Environment) -> tuple[Any, ...] | None:
    ranks, platforms = _ranks(environment), _pdm_platforms(environment)
    fitting = [tag for tag in wheel.tags if tag in ranks]
    if not fitting:
        return None
    kind = max(_pdm_kind(tag, environment) for tag in fitting)
    return kind, max(platforms.get(tag.platform, -1) for tag in fitting)


def _pdm_kind(tag: Tag, environment: Environment) -> tuple[int, int, int]:
    """Return major and minor version, and the kind of ABI: none, stable or that of one version."""
    match = _INTERPRETER.match(tag.interpreter)
    major, minor = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if tag.abi == "abi3":
        return major, minor, 1
    if minor not in (0, environment.version[1]):
        return 0, 0, 0  # pdm would sooner build than take `py39` for Python 3.12; here it comes last
    return major, minor, 0 if tag.abi == "none" else 2


def _best(wheel: WheelParts, ranks: dict[Tag, int]) -> int | None:
    return min((ranks[tag] for tag in wheel.tags if tag in ranks), default=None)


# --- what is known of an environment


def _numbered(tags: Iterable[Tag]) -> dict[Tag, int]:
    ranks: dict[Tag, int] = {}
    for rank, tag in enumerate(tags):
        ranks.setdefault(tag, rank)
    return ranks


def _is_plain(platform: str) -> bool:
    return platform.startswith("linux_")


def _rank_for_uv(environment: Environment) -> dict[Tag, int]:
    """Tags come in runs of one interpreter and ABI; in each, the plain platform goes last."""
    runs = groupby(environment.tags, lambda tag: (tag.interpreter, tag.abi))
    return _numbered(tag for _, run in runs for tag in sorted(run, key=lambda tag: _is_plain(tag.platform)))


def _platforms_for_pdm(environment: Environment) -> dict[str, int]:
    """Return platform -> how good it is. On musl pdm goes from the oldest release to the newest."""
    names = list(dict.fromkeys(tag.platform for tag in environment.tags if tag.platform != "any"))
    if any(name.startswith("musllinux_") for name in names):
        names.reverse()
        names.sort(key=_is_plain, reverse=True)
    else:
        names.sort(key=_is_plain)
    return {name: len(names) - place for place, name in enumerate(names)}


_ranks = Derived(lambda environment: _numbered(environment.tags))
_uv_ranks = Derived(_rank_for_uv)
_pdm_platforms = Derived(_platforms_for_pdm)

_PREFERENCES: Final[dict[str, Preference]] = {"uv": _by_uv, "poetry": _by_poetry, "pdm": _by_pdm}
