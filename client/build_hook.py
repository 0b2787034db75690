"""Adds the joined module of the start-up hook to the wheel; see `virtual_sprawl.joined`."""

import importlib.util
import os
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["EDITABLE", "JoinedStart"]

EDITABLE = (
    b'import os; os.environ.get("VIRTUAL_SPRAWL") and __import__("virtual_sprawl._hook")._hook.activate()\n'
)
"""The start-up file that goes with the modules as they are in the tree."""


class JoinedStart(BuildHookInterface):  # type: ignore[type-arg]
    """Made where the wheel is; an editable installation starts with the modules as they are in the tree."""

    def initialize(self, version: str, build_data: "dict[str, Any]") -> None:
        """Name to the builder what differs from the tree, in files that are gone after the build."""
        package = os.path.join(self.root, "client/virtual_sprawl")
        joined = _module(os.path.join(package, "joined.py"))
        self.scratch = tempfile.TemporaryDirectory()
        if version != "editable":
            for name in joined.JOINED:
                path = self._write(name + ".py", joined.join(package, name))
                build_data["force_include"][path] = f"virtual_sprawl/{name}.py"
            return
        included = build_data["force_include_editable"]
        for source, target in self.build_config.get_force_include().items():
            path = source
            if target == "virtual_sprawl.pth":
                path = self._write(target, EDITABLE)
            included[path] = target

    def finalize(self, version: str, build_data: "dict[str, Any]", artifact_path: str) -> None:
        """Remove those files."""
        self.scratch.cleanup()

    def _write(self, name: str, content: bytes) -> str:
        path = os.path.join(self.scratch.name, name)
        with open(path, "wb") as stream:
            stream.write(content)
        return path


def _module(path: str) -> Any:
    # By its path: the package is not installed where it is built.
    spec = importlib.util.spec_from_file_location("joined", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
