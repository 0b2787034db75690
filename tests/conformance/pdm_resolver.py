"""Run by pdm's own interpreter, in a project: what it would install elsewhere. Questions on stdin."""

import contextlib
import json
import sys

from dep_logic.tags import EnvSpec
from pdm.cli.actions import resolve_from_lockfile
from pdm.cli.filters import GroupSelection
from pdm.core import Core
from pdm.environments import PythonEnvironment
from pdm.models.python import PythonInfo


def _answer(question):
    project = Core().create_project(".")
    # Which interpreter this is does not matter: the place is told by the specification below.
    project._python = PythonInfo.from_path(sys.executable)
    project.environment = PythonEnvironment(project)
    if not project.python_requires.contains(question["python"]):
        return {"refused": question["python"] + " does not match requires-python"}
    place = EnvSpec.from_spec("==" + question["python"], question["platform"], "cpython")
    selection = GroupSelection(project, dev=None if question["groups"] else False)
    selection.validate()
    collected = project._resolve_dependencies(list(selection))
    requirements = [
        requirement for group in selection for requirement in project.get_dependencies(group, collected)
    ]
    found = resolve_from_lockfile(project, requirements, list(selection), place)
    candidates = [package.candidate for package in found]
    # What then installs reads the requirements of every group, wanted or not, and may fail of them.
    _ = project.all_dependencies
    return {
        "packages": {
            candidate.req.key: candidate.version if candidate.req.is_named else None
            for candidate in candidates
        }
    }


def _try(question):
    try:
        return _answer(question)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}


# pdm talks on stdout while it works.
with contextlib.redirect_stdout(sys.stderr):
    answers = [_try(question) for question in json.load(sys.stdin)]
json.dump(answers, sys.stdout)
