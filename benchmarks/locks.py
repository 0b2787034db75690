"""Makes the files that tools lock: project files, frozen requirements, wheels that only resolvers want."""

from __future__ import annotations

import email
import json
import re
import sys
import zipfile
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["add_stubs", "frozen", "pyproject"]

STUB_VERSION = "9999"


def pyproject(requirements: Sequence[str], address: str) -> str:
    """Return a pyproject.toml of pinned requirements that uv, poetry and pdm understand."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    listed = "".join(f'    "{requirement}",\n' for requirement in requirements)
    return (
        f'[project]\nname = "bench"\nversion = "0"\nrequires-python = "=={minor}.*"\n'
        f"dependencies = [\n{listed}]\n\n"
        f"[tool.uv]\npackage = false\nenvironments = [\"sys_platform == '{sys.platform}'\"]\n\n"
        f'[[tool.uv.index]]\nurl = "{address}"\ndefault = true\n\n'
        f"[tool.poetry]\npackage-mode = false\n\n"
        f'[[tool.poetry.source]]\nname = "local"\nurl = "{address}"\npriority = "primary"\n\n'
        f"[tool.pdm]\ndistribution = false\n\n"
        f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{address}"\nverify_ssl = true\n'
    )


def frozen(wheels: Path, requirements: Sequence[str]) -> str:
    """Return requirements with the hashes of their wheels in a directory that an index has hashed."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for file, digest in json.loads((wheels / "hashes.json").read_text()).items():
        name, release, _, _ = parse_wheel_filename(file)
        hashes.setdefault((name, str(release)), []).append(digest)
    lines = []
    for requirement in requirements:
        project, _, version = requirement.partition("==")
        found = hashes[canonicalize_name(project), version]
        lines.append(requirement + "".join(f" --hash=sha256:{digest}" for digest in found))
    return "\n".join(lines) + "\n"


def add_stubs(directory: Path) -> None:
    """Add an empty wheel for each project that some wheel needs on another platform only.

    poetry locks for all platforms, and so asks for them; nobody installs them.
    """
    have: set[str] = set()
    wanted: set[str] = set()
    for path in directory.glob("*.whl"):
        have.add(canonicalize_name(path.name.partition("-")[0]))
        with zipfile.ZipFile(path) as wheel:
            (name,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = email.message_from_bytes(wheel.read(name))
        requirements = map(Requirement, metadata.get_all("Requires-Dist", []))
        wanted.update(
            canonicalize_name(requirement.name)
            for requirement in requirements
            if "extra ==" not in str(requirement.marker)
        )
    for project in wanted - have:
        _write_stub(directory, project.replace("-", "_"))


def _write_stub(directory: Path, name: str) -> None:
    info = f"{name}-{STUB_VERSION}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{STUB_VERSION}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {STUB_VERSION}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
