"""Joins the modules of a warm start: one is found, read and run faster than several.

    _start     what the start-up hook starts with
    _enter     what a set's own interpreter starts with
    _finder    what either loads with the first module of the set

They are made where the hook is installed: by the build of the wheel, and by `sprawlctl enable`; and where a
daemon runs from the tree. Each is the code of its modules one after the other, without what only people and
type checkers read, and without what nothing in it asks for. The rest of the package does not know of them:
what is seldom needed imports the modules as they are.
"""

import ast
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class _Part(NamedTuple):
        statement: "ast.stmt"
        defines: "list[str]"

else:
    from collections import namedtuple

    _Part = namedtuple("_Part", "statement defines")

__all__ = ["HOOK", "JOINED", "NAME", "SET", "join", "relative_imports"]

NAME = "_start"
HOOK = (NAME, "_finder")
SET = ("_enter", "_finder")

# Name -> modules, each after those that it imports, and what is asked of the whole.
JOINED = {
    "_start": (
        ("locations", "question", "ownfile", "direct", "lease", "claim", "sitelast", "activation", "_hook"),
        ("activate", "find_spec"),
    ),
    "_enter": (("lease", "claim", "sitelast", "enter"), ("enter", "find_spec")),
    "_finder": (("ownfile", "topfinder", "packs", "finder"), ("Entrance", "SetIndex")),
}

_RELATIVE_IMPORT = re.compile(r"^ *from \.(\w*) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)

# Loaded as a joined module of its own, when it is needed.
_LATER = ("finder",)

# Start-up files have it executed without the import system's help, which would search for it.
_HEAD = """\"\"\"Joined from %s of this package; edit those.\"\"\"
import sys
if __package__ is None:
    __file__ = sys._getframe().f_code.co_filename
    __package__ = __name__.rpartition('.')[0]
%s = sys.modules[__name__]
"""


def join(package: str, name: str = NAME) -> bytes:
    """Return the source of the module `name` of JOINED, from the modules in the directory `package`.

    Raises OSError when a module is missing, ValueError when two modules define one name.
    """
    modules, wanted = JOINED[name]
    with open(f"{package}/__init__.py", encoding="utf-8") as stream:
        version = ast.parse(stream.read()).body[-1]
    parts = [_Part(version, _defined(version))]
    origin: "dict[str, str]" = {}
    for module in modules:
        with open(f"{package}/{module}.py", encoding="utf-8") as stream:
            tree = _Strip(modules).visit(ast.parse(stream.read()))
        for statement in tree.body:
            defined = _defined(statement)
            for one in defined:
                if origin.setdefault(one, module) != module or one in modules[:-1]:
                    raise ValueError(f"{module} and {origin[one]} both define {one}")
            parts.append(_Part(statement, defined))
    text = ast.unparse(ast.fix_missing_locations(ast.Module(_needed(parts, {*wanted}), [])))
    return (_HEAD % (", ".join(modules), " = ".join(modules[:-1])) + text + "\n").encode()


def relative_imports(source: bytes, package: str) -> "set[str]":
    """Return which modules of the package in the directory `package` a module of it imports, late ones too.

    Without parsing, since every start of a daemon asks.
    """
    found = set()
    for module, *several in _RELATIVE_IMPORT.findall(source.decode()):
        names = re.findall(r"\w+(?=\s*(?:,|$|#| as ))", "".join(several), re.MULTILINE)
        # `from . import x` names a module or an attribute of the package; only the first has a file.
        found |= {module} if module else {name for name in names if os.path.isfile(f"{package}/{name}.py")}
    return found


def _needed(parts: "list[_Part]", wanted: "set[str]") -> "list[ast.stmt]":
    """Return the statements that define what is wanted or asked for by those, and all that define nothing."""
    chosen: "set[int]" = set()
    before = -1
    while len(chosen) != before:
        before = len(chosen)
        for number, part in enumerate(parts):
            if number not in chosen and (not part.defines or wanted.intersection(part.defines)):
                chosen.add(number)
                wanted.update(_asked(part.statement))
    seen: "set[str]" = set()
    body = []
    for number in sorted(chosen):
        statement = parts[number].statement
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            text = ast.unparse(statement)
            if text in seen:
                continue
            seen.add(text)
        body.append(statement)
    return body


def _asked(statement: ast.stmt) -> "set[str]":
    # Any attribute: `module.name` is one of a module that is joined, perhaps.
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def _defined(statement: ast.stmt) -> "list[str]":
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


class _Strip(ast.NodeTransformer):
    """Removes docstrings, annotations, blocks for type checkers, `__all__`, and imports of joined modules."""

    def __init__(self, modules: "tuple[str, ...]") -> None:
        self._modules = modules

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> "ast.stmt | None":
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def visit_Assign(self, node: ast.Assign) -> "ast.stmt | None":
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if names in (["__all__"], ["TYPE_CHECKING"]):
            return None
        # `X = module.X`, of a module that is joined.
        value = node.value
        if isinstance(value, ast.Attribute) and names == [value.attr] and isinstance(value.value, ast.Name):
            return None if value.value.id in self._modules else node
        return node

    def visit_If(self, node: ast.If) -> "ast.stmt | None":
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> "ast.stmt | None":
        # What follows an attribute to describe it.
        return None if isinstance(node.value, ast.Constant) else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> "ast.stmt | None":
        if node.level and not node.module:
            node.names = [
                alias for alias in node.names if alias.name not in (*self._modules, *_LATER, "__version__")
            ]
        return node if node.names else None

    def _without_docstring(self, node: "Any") -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        stripped: ast.AST = node
        return stripped
