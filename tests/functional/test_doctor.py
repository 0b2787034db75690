"""`sprawl doctor`: every finding with its code and level, for a project that has something of everything."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sprawld import doctoring
from tests.support import binaries
from tests.support.index import SimpleIndex
from tests.support.sandbox import Sandbox
from tests.support.wheels import build_wheel
from virtual_sprawl import doctor_command

pytestmark = pytest.mark.functional

ROOT = Path(__file__).parents[2]


class Clinic:
    """A user with a project of odd packages."""

    def __init__(self, directory: Path, index: SimpleIndex) -> None:
        self.directory = directory
        self.index = index
        self.sandbox = Sandbox(directory / "user", index=index.url)

    def line(self, name: str, files: dict[str, str | bytes], *, pinned: bool = True) -> str:
        wheel = build_wheel(self.directory, name, "1.0", files)
        self.index.add(wheel)
        return f"{name}==1.0" + (f" --hash=sha256:{self.index.sha256(wheel.name)}" if pinned else "")

    def doctor(self, project: Path, *options: str, code: int = 0) -> tuple[Any, dict[str, list[Any]]]:
        outcome = self.sandbox.sprawl("doctor", *options, project, "--json", check=False)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr
        document = json.loads(outcome.stdout)
        found: dict[str, list[Any]] = {}
        for finding in document["findings"]:
            assert set(finding) == {"code", "level", "message", "remedy", "subject"}
            assert finding["level"] in ("ok", "note", "warning", "error")
            assert finding["message"]
            assert finding["remedy"] or finding["level"] in ("ok", "note")
            found.setdefault(finding["code"], []).append(finding)
        return document, found


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with SimpleIndex() as index:
        made = Clinic(tmp_path_factory.mktemp("clinic"), index)
        yield made
        made.sandbox.close()


@pytest.fixture(scope="module")
def odd(clinic: Clinic) -> Path:
    elf = binaries.elf_bytes
    lines = [
        clinic.line("hunter", {"hunter.pth": "import hunted\n", "hunted.py": ""}),
        clinic.line("paths", {"paths.pth": "# only\ninner\n", "inner/m.py": ""}),
        clinic.line("old-ns", {"old_ns-nspkg.pth": "import sys\n", "ns/m.py": ""}),
        clinic.line("one", {"same.py": "X = 1", "LICENSE": "1", "one/lib/libone.so": elf(None)}),
        clinic.line(
            "two", {"same.py": "X = 2", "LICENSE": "2", "two/lib/libtwo.so": elf("$ORIGIN/../../one/lib")}
        ),
    ]
    return clinic.sandbox.project("odd", {}, lines)


def test_before_and_after_the_packages_are_there(clinic: Clinic, odd: Path) -> None:
    before, found = clinic.doctor(odd)
    assert found["set.not-made"][0]["remedy"] == "sprawl sync"
    assert before["lock"] == str(odd / "requirements.txt")
    assert "set.ready" not in found
    assert list((clinic.sandbox.store / "wheels").iterdir()) == []
    clinic.sandbox.sprawl("sync", cwd=odd)
    after, found = clinic.doctor(odd)
    assert before["set"] == after["set"] is not None
    assert "set.not-made" not in found
    levels = {code: [finding["level"] for finding in those] for code, those in found.items()}
    assert levels["set.ready"] == levels["lock.found"] == levels["daemon.reachable"] == ["ok"]
    assert levels["conflict.code"] == ["warning"]
    assert levels["conflict.text"] == ["ok"]
    assert levels["startup.refused"] == ["warning"]
    assert levels["startup.namespace"] == ["ok"]
    assert levels["bundle.made"] == ["ok"]
    assert levels["socket.directory"] == ["ok"]
    assert levels["hook.missing"] == ["note"]
    assert levels["store.hard-links"] == levels["store.reflinks"] == levels["store.volatile"] == ["ok"]
    assert levels.get("user.root") == (["warning"] if os.geteuid() == 0 else None)
    assert "lock.unpinned" not in levels
    assert found["startup.refused"][0]["subject"] == "hunter==1.0"
    assert 'allow-startup = ["hunter"]' in found["startup.refused"][0]["remedy"]
    assert "two==1.0 counts, not that of one==1.0" in found["conflict.code"][0]["message"]
    assert "two==1.0 looks for libraries of one==1.0" in found["bundle.made"][0]["message"]


def test_what_people_read(clinic: Clinic, odd: Path) -> None:
    clinic.sandbox.sprawl("sync", cwd=odd)
    lines = clinic.sandbox.sprawl("doctor", cwd=odd).stdout.splitlines()
    assert re.match(
        r"warning +conflict\.code +lib/python.*/same\.py differs",
        "\n".join(line for line in lines if "conflict.code" in line),
    )
    assert not any("LICENSE" in line for line in lines)
    assert re.fullmatch(r"0 errors, [2-9] warnings", lines[-1])
    quiet = clinic.sandbox.sprawl("doctor", "-q", cwd=odd).stdout
    assert "daemon.reachable" not in quiet
    assert "startup.refused" in quiet


def test_what_the_user_allows(clinic: Clinic, odd: Path) -> None:
    settings = clinic.sandbox.home / ".config/virtual-sprawl/config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('allow-startup = ["Hunter"]\n')
    # A file of the project allows nothing.
    (odd / "config.toml").write_text('allow-startup = ["old-ns", "paths"]\n')
    clinic.sandbox.ctl("stop")
    try:
        clinic.sandbox.sprawl("sync", cwd=odd)
        _, found = clinic.doctor(odd)
        assert "startup.refused" not in found
        assert found["startup.allowed"][0]["message"].endswith("hunter")
        code = "import sys; print('hunted' in sys.modules)"
        assert clinic.sandbox.sprawl("run", "-c", code, cwd=odd).stdout == "True\n"
    finally:
        settings.unlink()
        clinic.sandbox.ctl("stop")


def test_packages_without_hashes_and_such_that_need_a_build(clinic: Clinic) -> None:
    line = clinic.line("loose", {"loose.py": ""}, pinned=False)
    project = clinic.sandbox.project("loose", {}, [line])
    clinic.sandbox.sprawl("sync", cwd=project)
    _, found = clinic.doctor(project)
    assert [finding["level"] for finding in found["lock.unpinned"]] == ["warning"]
    assert "loose==1.0" in found["lock.unpinned"][0]["message"]
    source = clinic.sandbox.root / "source-1.0.tar.gz"
    source.write_bytes(b"no matter")
    lock = f"""
version = 1
requires-python = ">=3.8"
[[package]]
name = "source"
version = "1.0"
source = {{ registry = "{clinic.index.url}" }}
sdist = {{ url = "{clinic.index.url}/source-1.0.tar.gz", hash = "sha256:{"ab" * 32}", size = 9 }}
[[package]]
name = "app"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = "source" }}]
"""
    toml = '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.8"\ndependencies = ["source"]\n'
    built = clinic.sandbox.project("built", {"uv.lock": lock, "pyproject.toml": toml})
    _, found = clinic.doctor(built, code=1)
    assert [(finding["level"], finding["subject"]) for finding in found["lock.needs-build"]] == [
        ("error", "source==1.0")
    ]


def test_refusals_are_findings_under_their_own_code(clinic: Clinic) -> None:
    empty = clinic.sandbox.root / "empty"
    empty.mkdir()
    _, found = clinic.doctor(empty, code=1)
    assert found["lock.not-found"][0]["level"] == "error"
    assert found["store.hard-links"][0]["level"] == "ok"


def test_a_directory_of_the_socket_that_others_may_enter(clinic: Clinic, odd: Path) -> None:
    directory = clinic.sandbox.runtime / "virtual-sprawl"
    clinic.sandbox.ctl("status")
    directory.chmod(0o755)
    try:
        _, found = clinic.doctor(odd, code=1)
        assert found["socket.directory"][0]["level"] == "error"
        assert found["daemon.unsafe-socket"][0]["level"] == "error"
    finally:
        directory.chmod(0o700)


def test_every_code_is_documented() -> None:
    text = (ROOT / "docs/reference/doctor.md").read_text()
    documented = re.findall(r"^\| `([a-z.-]+)` \|", text, re.MULTILINE)
    assert sorted(documented) == sorted({*doctoring.CODES, *doctor_command.CODES})
    source = (ROOT / "sprawld/doctoring.py").read_text() + (
        ROOT / "client/virtual_sprawl/doctor_command.py"
    ).read_text()
    assert [code for code in documented if source.count(f'"{code}"') < 2] == []
