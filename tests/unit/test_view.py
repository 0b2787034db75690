"""Writing a set out as a virtual environment: its files, its RECORDs, what it replaces and what it leaves."""

from __future__ import annotations

import base64
import csv
import errno
import fcntl
import hashlib
import json
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import StoreError
from sprawld.model import Overlay, Source
from sprawld.pathsets import placing, wheelfiles
from sprawld.pathsets.pathset import SetEntry
from sprawld.pathsets.placing import Placer
from sprawld.pathsets.setcheck import describe_set
from sprawld.pathsets.view import View, Wish, is_view, write_view
from tests.support.interpreters import newest
from tests.support.workshop import Workshop, environment_of

ALPHA: dict[str, Any] = {
    "files": {
        "space/alpha.py": "X = 'alpha'\n",
        "alpha.pth": "import os\nalpha_more\n",
        "alpha_more/found_by_line.py": "",
        "shared.txt": "alpha",
    },
    "entry_points": {"console_scripts": {"alpha": "space.alpha:main"}},
    "data": {
        "scripts/old": "#!python\nimport sys\nprint(sys.prefix)\n",
        "data/share/alpha/x.txt": "x",
        "headers/alpha.h": "/* */",
    },
}
BETA: dict[str, Any] = {"files": {"space/beta.py": "assert True\n", "shared.txt": "beta"}}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


@pytest.fixture
def entries(workshop: Workshop) -> list[SetEntry]:
    return [workshop.entry("alpha", **ALPHA), workshop.entry("beta", **BETA)]


def write(
    workshop: Workshop, target: Path, *entries: SetEntry, wish: Wish | None = None, **options: Any
) -> View:
    path_set = workshop.store / "sets"
    path_set = next(path_set.iterdir()) if path_set.exists() else workshop.build(newest(), *entries)
    options = {"origins": {}, "cancelled": threading.Event()} | options
    described = describe_set(path_set)
    assert described is not None
    return write_view(
        target,
        path_set,
        described,
        environment_of(newest()),
        store_root=workshop.store,
        wish=wish or Wish(mode="own"),
        **options,
    )


def site_packages(view: Path) -> Path:
    return view / "lib" / environment_of(newest()).library / "site-packages"


def run(view: Path, code: str) -> str:
    command = [view / "bin" / "python", "-I", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_it_is_a_virtual_environment_of_real_files(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "view"
    written = write(workshop, target, *entries)
    assert (written.path, written.replaced) == (target, False)
    assert is_view(target)
    assert (site_packages(target) / "shared.txt").read_text() == "beta", (
        "the last by name wins, as in the set"
    )
    links = [path.name for path in target.rglob("*") if path.is_symlink()]
    library = environment_of(newest()).library
    assert sorted(links) == sorted(["python", "python3", library, *(["lib64"] if "lib64" in links else [])])
    workshop.store.rename(tmp_path / "gone")
    code = "import space.alpha, space.beta, sys, found_by_line; print(sys.prefix, space.alpha.__file__)"
    assert run(target, code).split() == [str(target), str(site_packages(target) / "space" / "alpha.py")]
    assert subprocess.run([target / "bin" / "old"], capture_output=True, text=True).stdout.strip() == str(
        target
    )
    assert (target / "bin" / "alpha").read_text().startswith(f"#!{target}/bin/python\n")
    assert (target / "share" / "alpha" / "x.txt").exists()
    assert (target / "include" / "site" / library / "alpha" / "alpha.h").exists()
    assert os.listdir(tmp_path / "deep") == ["view"]


def test_start_up_code_of_wheels_is_left_out(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    write(workshop, tmp_path / "view", *entries)
    assert (site_packages(tmp_path / "view") / "alpha.pth").read_text() == "alpha_more\n"
    record = (site_packages(tmp_path / "view") / "alpha-1.0.dist-info" / "RECORD").read_text()
    assert "alpha.pth" not in record


def test_record_tells_every_file_and_its_hash(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    origin = wheelfiles.direct_url_of_wheel("https://files.example/alpha.whl", entries[0].digest)
    write(workshop, tmp_path / "view", *entries, origins={"alpha": origin})
    below = site_packages(tmp_path / "view")
    dist_info = below / "alpha-1.0.dist-info"
    assert (dist_info / "INSTALLER").read_text() == "virtual-sprawl\n"
    assert json.loads((dist_info / "direct_url.json").read_text()) == origin
    assert not (below / "beta-1.0.dist-info" / "direct_url.json").exists()
    rows = list(csv.reader((dist_info / "RECORD").read_text().splitlines()))
    names = {row[0] for row in rows}
    assert {"../../../bin/alpha", "../../../bin/old", "../../../share/alpha/x.txt"} < names
    for name, described, size in rows:
        content = (below / name).read_bytes()
        if described and name != "shared.txt":
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (described, int(size)) == (f"sha256={digest}", len(content)), name


@pytest.mark.parametrize("mode", ["hardlink", "copy", "own"])
def test_files_are_shared_or_their_own(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path, mode: Any
) -> None:
    written = write(workshop, tmp_path / "view", *entries, wish=Wish(mode=mode, umask=0o027))
    module = site_packages(tmp_path / "view") / "space" / "beta.py"
    original = workshop.path(entries[1]) / "lib/python/site-packages/space/beta.py"
    assert module.samefile(original) is (mode == "hardlink")
    assert (module.stat().st_mode & 0o777) == (0o444 if mode == "hardlink" else 0o640)
    assert ((tmp_path / "view").stat().st_mode & 0o777) == 0o750
    assert (module.parent.stat().st_mode & 0o777) == 0o750
    if mode != "own":
        assert set(written.counts) == {mode}


def test_root_gets_no_hard_links_unless_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    for user, way in ((0, "copy"), (1000, "hardlink")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        monkeypatch.setattr(placing, "_clone", lambda source, target: False)
        placer = Placer("auto")
        placer.put(str(source), str(tmp_path / way), 0o644)
        assert dict(placer.counts) == {way: 1}


def test_reflinks_come_first_where_the_disk_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    asked = []

    def ioctl(target: int, request: int, original: int) -> int:
        asked.append(request)
        return os.write(target, os.pread(original, 10, 0))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    placer = Placer("auto")
    placer.put(str(source), str(tmp_path / "one"), 0o755)
    assert (dict(placer.counts), (tmp_path / "one").read_text()) == ({"reflink": 1}, "x")
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o755
    assert asked == [0x40049409]


def test_a_link_mode_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    source = tmp_path / "source"
    source.write_text("x")
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError) as refusal:
        Placer("hardlink").put(str(source), str(tmp_path / "target"), 0o644)
    assert refusal.value.code == "view.link-impossible"
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with pytest.raises(StoreError) as refusal:
        Placer("reflink").put(str(source), str(tmp_path / "target"), 0o644)
    assert refusal.value.code == "view.link-impossible"
    assert not (tmp_path / "target").exists()


def test_only_a_view_is_replaced_and_only_when_asked(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    target = tmp_path / "view"
    target.mkdir()
    write(workshop, target, *entries)
    (target / "left-over").touch()
    with pytest.raises(StoreError) as refusal:
        write(workshop, target, *entries)
    assert refusal.value.code == "view.exists"
    assert write(workshop, target, *entries, wish=Wish(mode="copy", replace=True)).replaced
    assert not (target / "left-over").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(target)
    for place in (foreign, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(StoreError) as refusal:
            write(workshop, place, *entries, wish=Wish(mode="copy", replace=True))
        assert refusal.value.code == "view.occupied"
    assert (foreign / "pyvenv.cfg").read_text() == "home = /usr/bin\n"


def test_an_interrupted_one_leaves_nothing(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    place = tmp_path / "place"
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(StoreError):
        write(workshop, place / "view", *entries, cancelled=cancelled)
    assert os.listdir(place) == []
    abandoned, busy = place / ".view.sprawl-new-dead", place / ".view.sprawl-new-busy"
    for directory in (abandoned, busy):
        (directory / "bin").mkdir(parents=True)
    descriptor = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        write(workshop, place / "view", *entries)
        assert sorted(os.listdir(place)) == [busy.name, "view"], "what a killed one left goes, nothing else"
    finally:
        os.close(descriptor)


def test_bytecode_names_the_files_where_they_are(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    write(workshop, tmp_path / "view", *entries, wish=Wish(mode="copy", bytecode=True, umask=0o022))
    (cached,) = (site_packages(tmp_path / "view") / "space" / "__pycache__").glob("beta.*.pyc")
    assert cached.stat().st_mode & 0o777 == 0o644
    code = "import space.beta as b; print(b.__cached__, b.__loader__.get_code('space.beta').co_filename)"
    assert run(tmp_path / "view", code).split() == [str(cached), str(cached.parents[1] / "beta.py")]
    assert str(tmp_path / "view").encode() in cached.read_bytes()


def test_local_projects_are_there_as_in_an_editable_install(
    workshop: Workshop, entries: list[SetEntry], tmp_path: Path
) -> None:
    code = tmp_path / "project" / "src"
    (code / "own").mkdir(parents=True)
    (code / "own" / "__init__.py").write_text("def main():\n    print('own')\n")
    (tmp_path / "project" / "flat.py").write_text("NAME = 'flat'\n")
    project = Overlay(
        name="own",
        version="2.0",
        root=str(tmp_path / "project"),
        metadata="Metadata-Version: 2.1\nName: own\nVersion: 2.0\n",
        entry_points=(("console_scripts", "own", "own:main"),),
        paths=(str(code),),
        links=(("renamed", str(tmp_path / "project" / "flat.py")),),
    )
    view = tmp_path / "view"
    described = describe_set(workshop.build(newest(), *entries))
    assert described is not None
    write_view(
        view,
        workshop.store / "sets" / "any",
        replace(described, overlays=(project,)),
        environment_of(newest()),
        store_root=workshop.store,
        wish=Wish(mode="copy"),
        origins={},
        cancelled=threading.Event(),
    )
    command = [view / "bin" / "own"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "own\n"
    look = "import renamed; from importlib.metadata import version; print(renamed.NAME, version('own'))"
    assert run(view, look) == "flat 2.0\n"


def test_direct_urls_by_kind_of_source() -> None:
    url = "https://user:secret@git.example/x"
    git = Source(kind="git", url=url, commit="0" * 40, reference="main", subdirectory="sub")
    assert wheelfiles.direct_url(url, git, None) == {
        "url": "https://git.example/x",
        "vcs_info": {"vcs": "git", "commit_id": "0" * 40, "requested_revision": "main"},
        "subdirectory": "sub",
    }
    assert wheelfiles.direct_url("file:///x", replace(git, kind="editable", subdirectory=None), None) == {
        "url": "file:///x",
        "dir_info": {"editable": True},
    }
    archive = wheelfiles.direct_url("https://h.example/x.whl", Source(kind="url"), "ab")
    assert archive["archive_info"] == {"hash": "sha256=ab", "hashes": {"sha256": "ab"}}
