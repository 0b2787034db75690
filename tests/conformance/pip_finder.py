"""Run by an interpreter with pip: which of some files pip's finder takes. Questions on stdin, as JSON."""

import json
import sys

from pip._internal.index.package_finder import CandidateEvaluator
from pip._internal.models.candidate import InstallationCandidate
from pip._internal.models.link import Link
from pip._internal.models.target_python import TargetPython
from pip._internal.models.wheel import Wheel


def _answer(question):
    target = TargetPython(
        platforms=question["platforms"],
        py_version_info=tuple(question["version"]),
        abis=[question["abi"]],
        implementation="cp",
    )
    # The method got another name in pip 23.3.
    tags = list(getattr(target, "get_sorted_tags", getattr(target, "get_tags", None))())
    found = {}
    for name, filenames in question["packages"].items():
        evaluator = CandidateEvaluator.create(name, target_python=target)
        candidates = []
        for filename in filenames:
            yanked = "" if filename in question["yanked"] else None
            if not filename.endswith(".whl") or Wheel(filename).supported(tags):
                link = Link("https://files.invalid/" + filename, yanked_reason=yanked)
                candidates.append(InstallationCandidate(name, "1.0", link))
        best = evaluator.compute_best_candidate(candidates).best_candidate
        found[name] = best.link.filename if best else None
    return found


json.dump([_answer(question) for question in json.load(sys.stdin)], sys.stdout)
