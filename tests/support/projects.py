"""Source trees of projects, written at test time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from sprawld.lockfiles.project import LocalProject, read_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BACKENDS", "look", "pyproject", "relative_paths", "write_tree"]

BACKENDS = {
    "setuptools": "setuptools.build_meta",
    "hatch": "hatchling.build",
    "poetry": "poetry.core.masonry.api",
    "pdm": "pdm.backend",
    "uv": "uv_build",
    "flit": "flit_core.buildapi",
    "maturin": "maturin",
}


def pyproject(backend: str = "hatch", more: str = "", *, name: str = "demo-app", version: str = "1.0") -> str:
    """Return a project file; `more` goes last, an empty version makes it dynamic."""
    stated = f'version = "{version}"' if version else 'dynamic = ["version"]'
    system = f'[build-system]\nrequires = []\nbuild-backend = "{BACKENDS.get(backend, backend)}"\n'
    return f'{system if backend else ""}[project]\nname = "{name}"\n{stated}\n{more}'


def write_tree(directory: Path, files: Mapping[str, str] | Iterable[str]) -> Path:
    """Write files below a directory, empty ones where only their names are given; return it."""
    contents = files.items() if hasattr(files, "items") else ((name, "") for name in files)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def look(directory: Path, name: str = "demo-app", **options: object) -> LocalProject:
    """Read a project."""
    return read_project(directory, canonicalize_name(name), **options)  # type: ignore[arg-type]


def relative_paths(directory: Path, found: LocalProject) -> list[str]:
    """Return what goes on sys.path, relative to the project; fails with the obstacle where there is one."""
    assert found.overlay is not None, found.obstacle
    return [str(Path(path).relative_to(directory.resolve())) for path in found.overlay.paths]
