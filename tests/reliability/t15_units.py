"""T15: the units for systemd and launchd, by systemd's own checks and by being served."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

from .programme import Context, Outcome

TITLE = "units for systemd and launchd"
BAR = "verify and the security thresholds hold, sockets and notifications go round, the XML is well-formed"

ROOT = Path(__file__).parents[2]
TESTS = ("tests/functional/test_units.py", "tests/unit/test_servicefiles.py", "tests/unit/test_service.py")


def run(context: Context) -> Outcome:
    outcome = context.outcome
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:]
    outcome.figures["tests"] = re.sub(r" in [\d.]+s.*", "", summary).strip("= ")
    outcome.skipped = re.findall(r"^SKIPPED.*?: (.*)$", done.stdout, re.MULTILINE)
    outcome.expect(done.returncode == 0, summary)
    _control(context, outcome)
    return outcome


def _control(context: Context, outcome: Outcome) -> None:
    """A unit with a misspelt setting, and a list that is not closed."""
    with context.directory() as root:
        unit = root / "wrong.service"
        unit.write_text("[Service]\nExecStrat=/bin/true\n")
        try:
            done = subprocess.run(
                ["systemd-analyze", "--user", "verify", "--man=no", str(unit)],
                capture_output=True,
                text=True,
                env={"PATH": os.defpath, "HOME": str(root), "XDG_RUNTIME_DIR": str(root)},
            )
            noticed = "ExecStrat" in done.stderr
        except FileNotFoundError:
            outcome.skipped.append("systemd-analyze is not on this machine")
            noticed = True
    try:
        xml.etree.ElementTree.fromstring("<plist><dict></plist>")
        broken = False
    except xml.etree.ElementTree.ParseError:
        broken = True
    outcome.control = "a misspelt setting and a list that is not closed are noticed"
    outcome.control_failed = noticed and broken
