"""Run by poetry's own interpreter, in a project: what it would install elsewhere. Questions on stdin."""

import json
import sys
from pathlib import Path

from cleo.io.null_io import NullIO
from packaging.tags import Tag
from poetry.core.constraints.version import Version
from poetry.factory import Factory
from poetry.installation.executor import Executor
from poetry.installation.installer import Installer
from poetry.repositories.installed_repository import InstalledRepository
from poetry.utils.env import MockEnv


class _Recorder(Executor):
    """Remembers what it is told to install."""

    def execute(self, operations):
        self.told = [
            operation.package
            for operation in operations
            if operation.job_type == "install" and not operation.skipped
        ]
        return 0


def _answer(question):
    poetry = Factory().create_poetry(Path())
    package = poetry.package
    # As poetry does when it looks for an environment.
    if not package.python_constraint.allows(Version.parse(question["python"])):
        return {"refused": "Current Python version " + question["python"] + " is not allowed by the project"}
    environment = MockEnv(
        tuple(map(int, question["python"].split("."))),
        marker_env=question["markers"],
        supported_tags=[Tag(*text.split("-")) for text in question["tags"]],
    )
    recorder = _Recorder(environment, poetry.pool, poetry.config, NullIO())
    installer = Installer(
        NullIO(),
        environment,
        package,
        poetry.locker,
        poetry.pool,
        poetry.config,
        installed=InstalledRepository(),
        executor=recorder,
    )
    every = package.dependency_group_names(include_optional=True)
    installer.only_groups(every if question["groups"] else package.dependency_group_names())
    installer.extras(list(package.extras) if question["extras"] else [])
    installer.run()
    return {
        "packages": {found.name: None if found.source_type else str(found.version) for found in recorder.told}
    }


def _try(question):
    try:
        return _answer(question)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}


json.dump([_try(question) for question in json.load(sys.stdin)], sys.stdout)
