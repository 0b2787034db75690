"""Run by poetry's own interpreter: which of some files its chooser takes. Questions on stdin, as JSON."""

import json
import sys

from packaging.tags import Tag
from poetry.config.config import Config
from poetry.console.exceptions import PoetryRuntimeError
from poetry.core.packages.package import Package
from poetry.core.packages.utils.link import Link
from poetry.installation.chooser import Chooser
from poetry.utils.env import MockEnv


class _Repository:
    """A repository that has just these files."""

    def __init__(self, filenames):
        self._links = [Link("https://files.invalid/" + name) for name in filenames]

    def find_links_for_package(self, package):
        return self._links


class _Pool:
    def __init__(self):
        self.filenames = []

    def has_repository(self, name):
        return True

    def repository(self, name):
        return _Repository(self.filenames)


def _answer(question):
    pool = _Pool()
    tags = [Tag(*text.split("-")) for text in question["tags"]]
    chooser = Chooser(pool, MockEnv(supported_tags=tags), Config(use_environment=False))
    found = {}
    for name, (version, filenames) in question["packages"].items():
        pool.filenames = filenames
        try:
            found[name] = chooser.choose_for(Package(name, version)).filename
        except PoetryRuntimeError:
            found[name] = None
    return found


json.dump([_answer(question) for question in json.load(sys.stdin)], sys.stdout)
