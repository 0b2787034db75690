"""Lays local projects into a path set, as an editable install would: metadata, scripts, lines for sys.path.

    lib/pythonX.Y/site-packages/__editable__.NAME.pth      a line for each directory of the project's code
    lib/pythonX.Y/site-packages/NAME-VERSION.dist-info/    METADATA, entry_points.txt, direct_url.json, ...
    lib/pythonX.Y/projects/NAME/                           links, where code bears another name in the tree
    bin/                                                   the scripts of its entry points

1. No code is copied, packed or compiled: what is imported is the file in the project, as it is then.
2. Nothing of the project is looked at here: an overlay says everything, so a set can be built once more from
   its own description.
3. The project is installed last, so its scripts win over those of wheels.

Specifications: recording installed projects, entry points, direct URL, `site` (path configuration files).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprawld.errors import StoreError
from sprawld.model import Overlay

from . import scripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .merge import Tree

__all__ = ["from_record", "lay", "record", "scripts_of"]

_WHEEL = "Wheel-Version: 1.0\nGenerator: virtual-sprawl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def record(overlay: Overlay) -> dict[str, object]:
    """Return the form an overlay has in `set.json` and in the set's digest."""
    return {
        "name": overlay.name,
        "version": overlay.version,
        "root": overlay.root,
        "metadata": overlay.metadata,
        "entry_points": [list(point) for point in overlay.entry_points],
        "paths": list(overlay.paths),
        "links": [list(link) for link in overlay.links],
        "modules": list(overlay.modules),
    }


def from_record(content: Mapping[str, Any]) -> Overlay:
    """Return the overlay of a record; KeyError, TypeError or ValueError for what is none."""
    texts = [content[key] for key in ("name", "version", "root", "metadata")]
    points = tuple((str(group), str(name), str(value)) for group, name, value in content["entry_points"])
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("not a text")
    return Overlay(
        name=texts[0],
        version=texts[1],
        root=texts[2],
        metadata=texts[3],
        entry_points=points,
        paths=tuple(map(str, content["paths"])),
        links=tuple((str(name), str(path)) for name, path in content["links"]),
        modules=tuple(map(str, content["modules"])),
    )


def scripts_of(overlays: Iterable[Overlay], python: str) -> dict[str, tuple[str, bytes]]:
    """Return name -> (`name==version` of the project, content) of every script.

    Raises WheelError `wheel.bad-entry-point`.
    """
    found = {}
    for overlay in overlays:
        for group, name, value in overlay.entry_points:
            if group in scripts.SCRIPT_GROUPS:
                scripts.check_script_name(name)
                reference = value.partition("[")[0].replace(" ", "")
                content = scripts.entry_point_script(python, reference)
                found[name] = (f"{_normalised(overlay.name)}=={overlay.version}", content)
    return found


def lay(tree: Tree, site_packages: str, overlays: Sequence[Overlay], python: str) -> None:
    """Write everything of these projects; `site_packages` is relative to the tree. Raises StoreError."""
    linked = [overlay for overlay in overlays if overlay.links]
    projects = f"{site_packages.rpartition('/')[0]}/projects"
    if linked:
        tree.make_directory(projects)
    for overlay in linked:
        directory = f"{projects}/{_normalised(overlay.name)}"
        tree.make_directory(directory)
        for name, target in overlay.links:
            suffix = ".py" if target.endswith(".py") else ""
            os.symlink(target, tree.path(f"{directory}/{name}{suffix}"))
    for overlay in overlays:
        _lay_one(tree, site_packages, overlay, python)


def _lay_one(tree: Tree, site_packages: str, overlay: Overlay, python: str) -> None:
    made = {f"{place}": content for place, content in _files(overlay)}
    own = {f"../../../bin/{name}": content for name, (_, content) in scripts_of([overlay], python).items()}
    dist_info = _dist_info(overlay)
    made[f"{dist_info}/RECORD"] = _record(made | own, dist_info)
    tree.make_directory(f"{site_packages}/{dist_info}")
    for place, content in made.items():
        tree.write(f"{site_packages}/{place}", content)
    for name, (_, content) in scripts_of([overlay], python).items():
        tree.write(f"bin/{name}", content, 0o555)


def _files(overlay: Overlay) -> Iterable[tuple[str, bytes]]:
    """Yield place below site-packages and content of every file but the scripts and RECORD."""
    name = _normalised(overlay.name)
    lines = [*overlay.paths, *([f"../projects/{name}"] if overlay.links else [])]
    for line in lines:
        _check_line(line)
    yield f"__editable__.{name}.pth", "".join(f"{line}\n" for line in lines).encode()
    dist_info = _dist_info(overlay)
    yield f"{dist_info}/METADATA", overlay.metadata.encode()
    yield f"{dist_info}/WHEEL", _WHEEL.encode()
    yield f"{dist_info}/INSTALLER", b"virtual-sprawl\n"
    origin = {"dir_info": {"editable": True}, "url": Path(overlay.root).as_uri()}
    yield f"{dist_info}/direct_url.json", json.dumps(origin).encode()
    if overlay.modules:
        yield f"{dist_info}/top_level.txt", "".join(f"{module}\n" for module in overlay.modules).encode()
    if overlay.entry_points:
        yield f"{dist_info}/entry_points.txt", _entry_points(overlay).encode()


def _check_line(line: str) -> None:
    """Refuse what `site` would not read as one path; the reader of projects lets none of it through."""
    if not line.isprintable() or line != line.strip() or not line.startswith(("/", "../")):
        raise StoreError("set.collision", f"no start-up file can name the path of a project: {line!r}")


def _entry_points(overlay: Overlay) -> str:
    groups: dict[str, list[str]] = {}
    for group, name, value in overlay.entry_points:
        groups.setdefault(group, []).append(f"{name} = {value}\n")
    return "\n".join(f"[{group}]\n{''.join(lines)}" for group, lines in groups.items())


def _record(contents: Mapping[str, bytes], dist_info: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for place, content in sorted(contents.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        writer.writerow((place, f"sha256={digest}", len(content)))
    writer.writerow((f"{dist_info}/RECORD", "", ""))
    return text.getvalue().encode()


def _dist_info(overlay: Overlay) -> str:
    version = re.sub(r"[^0-9A-Za-z.+!]+", "_", overlay.version)
    return f"{_normalised(overlay.name).replace('-', '_')}-{version}.dist-info"


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
