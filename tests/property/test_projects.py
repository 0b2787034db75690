"""Project files of any content: reading one raises nothing, and nothing of it leads out of the project."""

from __future__ import annotations

import json
import tempfile
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.projects import BACKENDS, look, write_tree

pytestmark = pytest.mark.property

KEYS = (
    *("project", "tool", "build-system", "build-backend", "backend-path", "name", "version", "dynamic"),
    *("dependencies", "optional-dependencies", "scripts", "gui-scripts", "entry-points", "authors", "urls"),
    *("license", "classifiers", "keywords", "description", "requires-python", "setuptools", "packages"),
    *("package-dir", "py-modules", "find", "where", "attr", "file", "hatch", "build", "targets", "wheel"),
    *("sources", "only-include", "dev-mode-dirs", "force-include", "hooks", "path", "source", "poetry"),
    *("include", "from", "to", "plugins", "extras", "pdm", "uv", "build-backend", "module-root"),
    *("module-name", "flit", "module", "maturin", "python-source", "setuptools_scm", "version_file", "email"),
    *("python", "git", "markers", "optional", "", "demo_app", "a.b", "x\n"),
)
TEXTS = st.sampled_from(
    [
        *("", ".", "..", "../..", "/", "/etc", "~", "src", "lib", "link", "link/x", "demo_app", "a\nb", "\0"),
        *(
            "demo-app",
            "Demo.App",
            "1.0",
            "not a version",
            "six>=1",
            "six ; python_version < '3'",
            "^1.2 || 3",
        ),
        *(
            "demo_app:main",
            "demo_app.cli:main [x]",
            "x" * 300,
            "src/demo_app",
            "demo_app/__init__.py",
            "\u2028",
        ),
        *("demo_app.__version__", "https://example.org/x.whl", "a @ https://example.org/a.whl", "A <a@b>"),
        *BACKENDS.values(),
    ]
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-3, 3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)


def toml(value: Any) -> str:
    """Return a value in TOML: JSON but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@settings(max_examples=150, deadline=None)
@given(
    backend=st.sampled_from(list(BACKENDS)),
    project=TABLES,
    tool=TABLES,
    deeper=TABLES,
    setup=st.sampled_from(["", "[metadata]\nname = demo-app\n", "[options]\npackage_dir =\n  = ..\n", "["]),
    is_run=st.booleans(),
)
def test_any_project_file(
    backend: str, project: Any, tool: Any, deeper: Any, setup: str, is_run: bool
) -> None:
    named = {"name": "demo-app", "version": "1.0", **project}
    inner = {"setuptools": "setuptools", "uv": "uv", "flit": "flit"}.get(backend, backend)
    document = {
        "project": named,
        "tool": {inner: {**tool, "build": deeper, "dynamic": deeper, "build-backend": deeper}},
        "build-system": {"build-backend": BACKENDS[backend]},
    }
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve() / "p"
        write_tree(root.parent / "outside", ["x/__init__.py", "demo_app.py"])
        write_tree(root, ["src/demo_app/__init__.py", "lib/demo_app.py"])
        (root / "link").symlink_to(root.parent / "outside")
        text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())
        write_tree(root, {"pyproject.toml": text, "setup.cfg": setup})
        found = look(root, is_run=is_run)
        overlay = found.overlay
        assert (overlay is None) == bool(found.obstacle)
        assert all(note.isprintable() for note in (*found.notes, found.obstacle))
        if overlay is None:
            return
        for path in (*overlay.paths, *(target for _, target in overlay.links)):
            assert Path(path).resolve().is_relative_to(root)
            assert path.isprintable()
        message = message_from_string(overlay.metadata)
        assert not message.defects
        assert message.get_all("Name") == [overlay.name]
        assert message.get_payload() == ""
        for group, name, value in overlay.entry_points:
            assert f"{group}{name}{value}".isprintable()
