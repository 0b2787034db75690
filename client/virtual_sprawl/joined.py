"""Joins the modules of the shortest warm start in one, `_start`: it is found, read and run faster than seven.

It is made where the hook is installed: by the build of the wheel, and by `sprawlctl enable`. It is the code
of the modules one after the other, without what only people and type checkers read. The name of each leads
to the whole, so the rest of the package imports what it always does, and gets the same objects.
"""

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["JOINED", "NAME", "join"]

NAME = "_start"

# Each after those that it imports.
JOINED = ("locations", "question", "direct", "lease", "topfinder", "activation", "_hook")

_HEAD = '"""Joined from %s of this package; edit those."""\nimport sys\n'
_TAIL = """
for _name in %r:
    setattr(sys.modules[__package__], _name, sys.modules[__name__])
    sys.modules[__package__ + '.' + _name] = sys.modules[__name__]
"""


def join(package: str) -> bytes:
    """Return the source of `_start` for the modules in the directory `package`.

    Raises OSError when a module is missing, ValueError when two modules define one name.
    """
    body: "list[ast.stmt]" = []
    origin: "dict[str, str]" = {}
    for module in JOINED:
        with open(f"{package}/{module}.py", encoding="utf-8") as stream:
            tree = ast.parse(stream.read())
        for statement in _Strip().visit(tree).body:
            for name in _defined(statement):
                if origin.setdefault(name, module) != module or name in JOINED:
                    raise ValueError(f"{module} and {origin[name]} both define {name}")
            body.append(statement)
    aliases = " = ".join(JOINED) + " = sys.modules[__name__]\n"
    text = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    return (_HEAD % ", ".join(JOINED) + aliases + text + _TAIL % (JOINED,)).encode()


def _defined(statement: ast.stmt) -> "list[str]":
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


class _Strip(ast.NodeTransformer):
    """Removes docstrings, annotations, blocks for type checkers, `__all__`, and imports of joined modules."""

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
        return None if names in (["__all__"], ["TYPE_CHECKING"]) else node

    def visit_If(self, node: ast.If) -> "ast.stmt | None":
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        self.generic_visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> "ast.stmt | None":
        if node.level and not node.module:
            node.names = [alias for alias in node.names if alias.name not in JOINED]
        return node if node.names else None

    def _without_docstring(self, node: "Any") -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        stripped: ast.AST = node
        return stripped
