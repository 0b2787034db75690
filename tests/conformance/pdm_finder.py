"""Run by pdm's own interpreter: which of some files pdm's finder takes. Questions on stdin, as JSON."""

import json
import sys
from types import SimpleNamespace

from dep_logic.tags import EnvSpec
from pdm.models.finder import PDMPackageFinder
from unearth import Link, Package


def _answer(question):
    spec = EnvSpec.from_spec("==" + question["python"], question["platform"], "cpython")
    finder = SimpleNamespace(env_spec=spec, minimal_version=False, prefer_binary=())
    found = {}
    for name, (version, filenames) in question["packages"].items():
        fitting = [
            Package(name, version, Link("https://files.invalid/" + filename))
            for filename in filenames
            if not filename.endswith(".whl") or spec.wheel_compatibility(filename) is not None
        ]
        # As in the finder: sorted, best first, and the first of equals stays first.
        fitting.sort(key=lambda package: PDMPackageFinder._sort_key(finder, package), reverse=True)
        found[name] = fitting[0].link.filename if fitting else None
    return found


json.dump([_answer(question) for question in json.load(sys.stdin)], sys.stdout)
