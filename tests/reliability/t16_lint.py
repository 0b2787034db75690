"""T16: what the code of the daemon and the client must not do, looked for in the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from sprawld.errors import CODES

from .programme import Context, Outcome

TITLE = "security lint"
BAR = (
    "0 findings: no pickle, eval, shell=True; marshal only where allowed; every open in the store layer with "
    "O_NOFOLLOW; every code has a test"
)

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = ("pickle", "cPickle", "shelve", "dill", "cloudpickle", "yaml")
FORBIDDEN_CALLS = ("eval", "os.system", "os.popen", "os.execvp", "os.spawnlp", "tempfile.mktemp")
MARSHAL = {
    # What a fork of the reading process wrote into a pipe between the two.
    "sprawld/acquire/sharing.py",
    # What the daemon wrote itself, read after its owner was checked; or written only.
    "sprawld/direct.py",
    "sprawld/hotpath.py",
    "sprawld/pathsets/_packer.py",
    "sprawld/pathsets/distributions.py",
    "sprawld/pathsets/setindex.py",
    "client/virtual_sprawl/direct.py",
    "client/virtual_sprawl/finder.py",
    "client/virtual_sprawl/known.py",
    "client/virtual_sprawl/packs.py",
    "client/virtual_sprawl/replies.py",
    "client/virtual_sprawl/topfinder.py",
}
EXEC = {
    # The start-up lines of packages that the user has allowed.
    "client/virtual_sprawl/startup_files.py",
}
PLAIN_READS = {
    # /proc of other processes: no file of the store.
    "sprawld/store/holders.py",
}


def run(context: Context) -> Outcome:
    outcome = context.outcome
    files = [*sorted(ROOT.glob("sprawld/**/*.py")), *sorted(ROOT.glob("client/**/*.py"))]
    opens = 0
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text())
        opens += sum(_is_open(node) for node in ast.walk(tree)) if name.startswith("sprawld/store/") else 0
        outcome.failures += findings(name, tree)
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    untested = [code for code in CODES if f'"{code}"' not in tests and f"[{code}]" not in tests]
    outcome.failures += [f"no test names {code}" for code in untested]
    outcome.figures = {
        "files": len(files),
        "opens in the store layer": opens,
        "error codes with a test": f"{len(CODES) - len(untested)} of {len(CODES)}",
        "findings": len(outcome.failures),
    }
    found = findings("sprawld/store/planted.py", ast.parse(PLANTED))
    outcome.control = f"{len(found)} of {PLANTED_FINDINGS} planted sins found"
    outcome.control_failed = len(found) == PLANTED_FINDINGS
    return outcome


def findings(name: str, tree: ast.AST) -> list[str]:
    """Return what is wrong with one file."""
    safe = _safe_names(tree)
    return [f"{name}:{line}: {what}" for node in ast.walk(tree) for line, what in _sins(name, node, safe)]


def _sins(name: str, node: ast.AST, safe: set[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        for module in modules:
            if module.split(".")[0] in FORBIDDEN_MODULES:
                yield node.lineno, f"imports {module}"
            if module == "marshal" and name not in MARSHAL:
                yield node.lineno, "marshal where it is not allowed"
    if not isinstance(node, ast.Call):
        return
    called = ast.unparse(node.func)
    if called in FORBIDDEN_CALLS or (called == "exec" and name not in EXEC):
        yield node.lineno, f"calls {called}"
    for keyword in node.keywords:
        if keyword.arg == "shell" and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        ):
            yield node.lineno, "shell=True"
    if name.startswith("sprawld/store/") and name not in PLAIN_READS:
        yield from _opens(node, called, safe)


def _opens(node: ast.Call, called: str, safe: set[str]) -> Iterator[tuple[int, str]]:
    if called == "os.open" and not (_is_safe(node.args[1], safe) or _has(node, "dir_fd")):
        yield node.lineno, "os.open without O_NOFOLLOW or dir_fd"
    if called == "open" and not (
        isinstance(node.args[0], ast.Call) and ast.unparse(node.args[0].func) == "os.open"
    ):
        yield node.lineno, "open() of a path"
    if called.rpartition(".")[2] in ("read_text", "read_bytes", "write_text", "write_bytes"):
        yield node.lineno, f"{called} follows links"


def _is_open(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "os.open"


def _has(node: ast.Call, name: str) -> bool:
    return any(keyword.arg == name for keyword in node.keywords)


def _is_safe(flags: ast.expr, safe: set[str]) -> bool:
    text = ast.unparse(flags)
    return "O_NOFOLLOW" in text or text in safe or text.rpartition(".")[2] in ("READ", "CREATE", "DIRECTORY")


def _safe_names(tree: ast.AST) -> set[str]:
    """Return the names that are given flags with O_NOFOLLOW in them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if "O_NOFOLLOW" in ast.unparse(node.value):
                found.update(ast.unparse(target) for target in targets)
    return found


PLANTED = """
import pickle
import marshal
import os, subprocess
flags = os.O_RDONLY
eval("1")
exec("1")
subprocess.run("ls", shell=True)
os.system("ls")
os.open("x", flags)
open("x")
path.read_bytes()
"""
PLANTED_FINDINGS = 9
