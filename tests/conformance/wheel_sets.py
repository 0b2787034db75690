"""Releases with made-up sets of wheels, of every kind whose order is worth a question."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from sprawld.errors import SelectionError
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.preference import preference_of
from sprawld.model import Artifact, Pin, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sprawld.model import Environment

__all__ = ["NONE", "our_choices", "releases"]

NONE = "none"
"""No wheel fits."""
_INTERPRETERS = (
    "cp39-cp39",
    "cp312-cp312",
    "cp313-cp313",
    "cp313-cp313t",
    "cp38-abi3",
    "cp311-abi3",
    "cp313-abi3",
)
_GENERIC = ("py3-none", "py2.py3-none", "cp312-none", "py312-none", "cp39.cp312.cp313-none")
_PLATFORMS = (
    "manylinux_2_5_x86_64.manylinux1_x86_64",
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_34_x86_64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "manylinux_2_28_aarch64",
    "musllinux_1_1_x86_64",
    "musllinux_1_2_x86_64",
    "musllinux_1_2_aarch64",
    "macosx_10_9_x86_64",
    "macosx_10_9_universal2",
    "macosx_11_0_arm64",
    "macosx_11_0_universal2",
    "macosx_13_0_arm64",
    "macosx_14_0_arm64",
    "linux_x86_64",
    "win_amd64",
    "any",
)
_BUILDS = ("", "", "", "", "1-", "2-", "10-", "2b-")


def releases(count: int, *, seed: int) -> dict[str, list[str]]:
    """Return normalised name -> file names; the same for the same arguments."""
    chance = Random(seed)
    found = {}
    for number in range(count):
        # A local version is a part of the file name, which must not disturb.
        version = chance.choice(("1.0", "1.0", "1.0+cpu"))
        tails = set()
        for _ in range(chance.randint(1, 7)):
            platform = chance.choice(_PLATFORMS)
            # What is built for one ABI is built for one platform.
            native = platform != "any" and chance.random() < 0.7
            kind = chance.choice(_INTERPRETERS if native else _GENERIC)
            tails.add(f"{chance.choice(_BUILDS)}{kind}-{platform}")
        names = [f"p{number}-{version}-{tail}.whl" for tail in sorted(tails)]
        chance.shuffle(names)
        found[f"p{number}"] = names
    return found


def our_choices(wheels: Mapping[str, list[str]], environment: Environment, form: str) -> dict[str, str]:
    """Return name -> the file we take in the order of a format's tool, or NONE."""
    taken = {}
    for name, filenames in wheels.items():
        pin = Pin(
            name=canonicalize_name(name),
            version="1.0",
            source=Source(kind="registry"),
            artifacts=tuple(Artifact(filename=filename) for filename in filenames),
        )
        try:
            choice = choose(pin, environment, hashed=False, preference=preference_of(form))
        except SelectionError:
            taken[name] = NONE
        else:
            assert choice.artifact is not None
            taken[name] = choice.artifact.filename
    return taken
