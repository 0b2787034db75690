"""Honours the `.pth` files of a set in the running interpreter, as `site` does in the set's own.

What a wheel's start-up file may do is decided where the set is made: code that is not allowed does not get
into the set. So there is one rule for both ways of running on it.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

__all__ = ["read_start_up_files"]


def read_start_up_files(site_packages: str, names: "Iterable[str]") -> None:
    """Add the directories and run the code of these files, in their order by name."""
    for name in sorted(names):
        if not name.endswith(".pth"):
            continue
        try:
            _read(site_packages, name)
        except Exception as error:
            # As site does: say it, leave out the rest of the file, go on.
            if sys.stderr is not None:
                text = "%s: %s: %s" % (name, type(error).__name__, error)
                sys.stderr.write("virtual-sprawl: error in a start-up file: %s\n" % text)


def _read(site_packages: str, name: str) -> None:
    with open(site_packages + "/" + name, encoding="utf-8-sig") as file:
        lines = file.read().splitlines()
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(("import ", "import\t")):
            exec(line, {"__name__": name})
            continue
        path = os.path.abspath(os.path.join(site_packages, line.rstrip()))
        if path not in sys.path and os.path.exists(path):
            sys.path.append(path)
