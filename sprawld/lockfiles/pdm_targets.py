"""The environments a pdm.lock was made for: `[[metadata.targets]]`, since version 4.5.

Specification: pdm's documentation, "Lock for specific platforms or Python versions". As in pdm, an older libc
or macOS than the target's is no reason to refuse: a wheel that fits may well exist.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._toml import Fault, Table, get, shown
from .markers import python_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sprawld.model import Environment

__all__ = ["check_targets"]

_ALIASES: Final = {
    "linux": "manylinux_2_40_x86_64",
    "windows": "windows_amd64",
    "macos": "macos_14_0_arm64",
    "alpine": "musllinux_1_2_x86_64",
}
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64", "x86": "i686", "i386": "i686"}
_PLATFORM: Final = re.compile(r"(manylinux|musllinux|macos|windows)(?:_[0-9]+_[0-9]+)?_([a-z0-9_]+)")
_SHOWN_TARGETS: Final = 5


def check_targets(targets: Sequence[Table], environment: Environment) -> None:
    """Raise Fault if there are targets and none is this environment.

    `select.requires-python` where the Python alone is wrong, else `select.unsupported-environment`.
    """
    if not targets or any(_python(target, environment) and _rest(target, environment) for target in targets):
        return
    listed = "; ".join(_described(target) for target in targets[:_SHOWN_TARGETS])
    wrong_python = any(_rest(target, environment) for target in targets)
    raise Fault(
        "select.requires-python" if wrong_python else "select.unsupported-environment",
        f"the lock was made for {listed}, this is Python {'.'.join(map(str, environment.version))} on "
        f"{environment.markers['sys_platform']} {environment.markers['platform_machine']}",
        hint=("run another of these Pythons (`sprawl +VERSION run ...`), or " if wrong_python else "")
        + "lock for this environment too: `pdm lock --append`",
    )


def _python(target: Table, environment: Environment) -> bool:
    return python_allowed(get(target, "requires_python", str) or "", environment)


def _rest(target: Table, environment: Environment) -> bool:
    implementation = get(target, "implementation", str)
    if implementation not in (None, environment.markers["implementation_name"]):
        return False
    platform = get(target, "platform", str)
    return platform is None or _system_and_machine(platform) == _here(environment)


def _system_and_machine(platform: str) -> tuple[str, str]:
    name = _ALIASES.get(platform, platform)
    match = _PLATFORM.fullmatch(name)
    if match is None:
        raise Fault("lock.invalid", f"metadata.targets: not a platform: {shown(repr(platform))}")
    return match[1], _MACHINES.get(match[2], match[2])


def _here(environment: Environment) -> tuple[str, str]:
    machine = environment.markers["platform_machine"].lower()
    machine = _MACHINES.get(machine, machine)
    system = environment.markers["sys_platform"]
    if system == "linux":
        musl = any(tag.platform.startswith("musllinux") for tag in environment.tags)
        return ("musllinux" if musl else "manylinux"), machine
    return {"win32": "windows", "darwin": "macos"}.get(system, system), machine


def _described(target: Table) -> str:
    return shown(", ".join(f"{key} {value}" for key, value in sorted(target.items())))
