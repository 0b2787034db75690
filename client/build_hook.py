"""Adds the joined module of the start-up hook to the wheel; see `virtual_sprawl.joined`."""

import importlib.util
import os
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["JoinedStart"]


class JoinedStart(BuildHookInterface):  # type: ignore[type-arg]
    """Made where the wheel is; an editable installation has no start-up files, so it needs none."""

    def initialize(self, version: str, build_data: "dict[str, Any]") -> None:
        """Write the module to a file that is gone after the build, and name it to the builder."""
        if version == "editable":
            return
        package = os.path.join(self.root, "client/virtual_sprawl")
        joined = _module(os.path.join(package, "joined.py"))
        self.scratch = tempfile.TemporaryDirectory()
        path = os.path.join(self.scratch.name, joined.NAME + ".py")
        with open(path, "wb") as stream:
            stream.write(joined.join(package))
        build_data["force_include"][path] = f"virtual_sprawl/{joined.NAME}.py"

    def finalize(self, version: str, build_data: "dict[str, Any]", artifact_path: str) -> None:
        """Remove that file."""
        if version != "editable":
            self.scratch.cleanup()


def _module(path: str) -> Any:
    # By its path: the package is not installed where it is built.
    spec = importlib.util.spec_from_file_location("joined", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
