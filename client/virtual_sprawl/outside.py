"""Tells coverage that what lies in the store is not the user's code.

coverage resolves links, and then knows third-party code by the paths of all of `sysconfig`'s schemes. The
set's own are among them; the store, where its links lead, is not. So a scheme is added that names it. Nothing
else lists the schemes, and only a process that imports coverage has it.
"""

import os
import sysconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["name_the_store"]


def name_the_store(directory: str, client: str) -> None:
    """Add a scheme whose directories are the store of the set in `directory`, and this package's `client`."""
    store = _escaped(os.path.dirname(os.path.dirname(directory)))
    schemes: "Any" = sysconfig._INSTALL_SCHEMES  # type: ignore[attr-defined]
    schemes["virtual_sprawl"] = {
        "stdlib": "{installed_base}/lib/python{py_version_short}",
        "platstdlib": "{platbase}/lib/python{py_version_short}",
        "purelib": store,
        "platlib": store,
        "include": store,
        "scripts": _escaped(client),
        "data": store,
    }


def _escaped(path: str) -> str:
    # Braces would be taken for variables.
    return os.path.realpath(path).replace("{", "{{").replace("}", "}}")
