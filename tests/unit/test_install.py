"""Installing an entry into a venv: what an installer leaves, with links in place of copies, and no more."""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import StoreError
from sprawld.pathsets.install import Installed, install_into
from sprawld.pathsets.pathset import SetEntry
from tests.support.interpreters import newest
from tests.support.workshop import Workshop

DEMO: dict[str, Any] = {
    "files": {
        "demo/__init__.py": "def main():\n    print('demo', __name__)\n",
        "demo/data.txt": "data",
        "one.py": "",
    },
    "entry_points": {"console_scripts": {"demo": "demo:main"}},
    "data": {
        "scripts/old": "#!python\nimport sys\nprint(sys.prefix)\n",
        "scripts/native": "#!/bin/sh\necho native\n",
        "headers/demo.h": "/* */",
        "data/share/demo/x.txt": "x",
        "data/lib/libdemo.so": "x",
        "data/include/other/y.h": "",
    },
    "modes": {"demo-1.0.data/scripts/native": 0o755},
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    subprocess.run([newest(), "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


@pytest.fixture(scope="module")
def venv_with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pip") / "venv"
    subprocess.run([newest(), "-m", "venv", path], check=True)
    return path


def install(workshop: Workshop, venv: Path, entry: SetEntry, **options: Any) -> Installed:
    return install_into(venv, workshop.path(entry), entry.summary, **options)


def site_packages(venv: Path) -> Path:
    return next(venv.glob("lib/python*/site-packages"))


def tree(directory: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(parent, name), directory)
        for parent, directories, names in os.walk(directory)
        for name in names + [name for name in directories if not os.listdir(os.path.join(parent, name))]
    }


def rows(venv: Path, dist_info: str) -> list[list[str]]:
    return list(csv.reader((site_packages(venv) / dist_info / "RECORD").read_text().splitlines()))


def refused(workshop: Workshop, venv: Path, entry: SetEntry) -> str:
    before = tree(venv)
    with pytest.raises(StoreError) as caught:
        install(workshop, venv, entry)
    assert tree(venv) == before
    return caught.value.code


def pip(venv: Path, *arguments: str) -> str:
    command = [
        venv / "bin/python",
        "-I",
        "-m",
        "pip",
        "--no-input",
        "--disable-pip-version-check",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_it_is_importable_and_its_scripts_run(workshop: Workshop, venv: Path) -> None:
    done = install(workshop, venv, workshop.entry("demo", **DEMO))
    assert done.site_packages == str(site_packages(venv))
    assert (done.dist_info, done.copied, done.removed) == ("demo-1.0.dist-info", 0, ())

    def run(*command: str | Path) -> str:
        return subprocess.run(command, capture_output=True, check=True, text=True, cwd="/").stdout

    assert run(venv / "bin/demo") == "demo demo\n"
    assert run(venv / "bin/old") == f"{venv}\n"
    assert run(venv / "bin/native") == "native\n"
    code = "import demo, one, importlib.metadata as m; print(m.version('demo'), demo.__file__)"
    assert run(venv / "bin/python", "-I", "-c", code) == f"1.0 {site_packages(venv)}/demo/__init__.py\n"


def test_every_file_has_its_place(workshop: Workshop, venv: Path) -> None:
    before = tree(venv)
    install(workshop, venv, workshop.entry("demo", **DEMO))
    library = site_packages(venv).parent.name
    inside = f"lib/{library}/site-packages"
    metadata = [
        f"{inside}/demo-1.0.dist-info/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL")
    ]
    assert tree(venv) - before == {
        f"{inside}/demo/__init__.py",
        f"{inside}/demo/data.txt",
        f"{inside}/one.py",
        f"{inside}/demo-1.0.dist-info/entry_points.txt",
        *metadata,
        "bin/demo",
        "bin/old",
        "bin/native",
        f"include/site/{library}/demo/demo.h",
        "include/other/y.h",
        "share/demo/x.txt",
        "lib/libdemo.so",
    }


def test_files_are_links_to_the_entry(workshop: Workshop, venv: Path) -> None:
    entry = workshop.entry("demo", **DEMO)
    done = install(workshop, venv, entry)
    inside = site_packages(venv)
    for path, source in {
        inside / "demo/data.txt": "lib/python/site-packages/demo/data.txt",
        venv / "bin/native": "bin/native",
        venv / "share/demo/x.txt": "share/demo/x.txt",
    }.items():
        assert path.samefile(workshop.path(entry) / source)
    assert (inside / "demo/data.txt").stat().st_mode & 0o777 == 0o444
    for made in (venv / "bin/demo", inside / "demo-1.0.dist-info/RECORD"):
        assert made.stat().st_nlink == 1
    assert done.linked + done.written == len(rows(venv, "demo-1.0.dist-info"))


def test_record_lists_what_is_there(workshop: Workshop, venv: Path) -> None:
    before = tree(venv)
    install(workshop, venv, workshop.entry("demo", **DEMO))
    found = rows(venv, "demo-1.0.dist-info")
    assert ["demo-1.0.dist-info/RECORD", "", ""] in found
    listed = {os.path.relpath(os.path.join(site_packages(venv), row[0]), venv) for row in found}
    assert listed == tree(venv) - before
    assert len(found) == len(listed)
    for path, digest, size in found:
        content = (site_packages(venv) / path).read_bytes()
        if digest:
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={expected}", len(content))


def test_the_installer_and_a_local_origin_are_recorded(
    workshop: Workshop, venv: Path, tmp_path: Path
) -> None:
    entry = workshop.entry("demo", dist_info={"INSTALLER": "someone else", "direct_url.json": "{}"})
    wheel = tmp_path / "with space" / entry.summary.filename
    install(workshop, venv, entry, wheel=wheel)
    metadata = site_packages(venv) / "demo-1.0.dist-info"
    assert (metadata / "INSTALLER").read_text() == "virtual-sprawl\n"
    origin = json.loads((metadata / "direct_url.json").read_text())
    assert origin["url"] == wheel.as_uri()
    assert origin["archive_info"]["hashes"] == {"sha256": entry.digest}
    install(workshop, venv, entry)
    assert not (metadata / "direct_url.json").exists()


def test_pip_knows_and_removes_it(workshop: Workshop, venv_with_pip: Path) -> None:
    before = tree(venv_with_pip)
    entry = workshop.entry("demo", **DEMO)
    install(workshop, venv_with_pip, entry)
    subprocess.run([venv_with_pip / "bin/python", "-c", "import demo, one"], check=True)
    listed = {
        item["name"]: item["version"] for item in json.loads(pip(venv_with_pip, "list", "--format=json"))
    }
    assert listed["demo"] == "1.0"
    pip(venv_with_pip, "check")
    shown = pip(venv_with_pip, "show", "--verbose", "--files", "demo")
    assert "Installer: virtual-sprawl" in shown
    assert "bin/demo" in shown
    pip(venv_with_pip, "uninstall", "-y", "demo")
    left = tree(venv_with_pip) - before
    assert [path for path in left if (venv_with_pip / path).is_file() and "__pycache__" not in path] == []
    assert (workshop.path(entry) / "lib/python/site-packages/demo/data.txt").read_text() == "data"


def test_what_pip_installed_is_replaced(workshop: Workshop, venv_with_pip: Path) -> None:
    old = workshop.entry("swap", "1.0", files={"swap/old.py": "", "swap/__init__.py": "v = 1\n"})
    pip(
        venv_with_pip,
        "install",
        "--no-deps",
        "--no-index",
        str(workshop.store.parent / "built" / old.summary.filename),
    )
    done = install(
        workshop, venv_with_pip, workshop.entry("swap", "2.0", files={"swap/__init__.py": "v = 2\n"})
    )
    assert done.removed == ("swap-1.0.dist-info",)
    output = subprocess.run(
        [venv_with_pip / "bin/python", "-I", "-B", "-c", "import swap; print(swap.v)"],
        capture_output=True,
        check=True,
    ).stdout
    assert output == b"2\n"
    assert os.listdir(site_packages(venv_with_pip) / "swap") == ["__init__.py"]


# Replacing


def test_an_older_version_leaves_nothing(workshop: Workshop, venv: Path) -> None:
    before = tree(venv)
    old = workshop.entry("Demo_Name", "1.0", files={"demo/a/b/c.py": "", "demo/gone.py": "", "top.py": ""})
    install(workshop, venv, old)
    subprocess.run([venv / "bin/python", "-m", "compileall", "-q", site_packages(venv)], check=True)
    keep = site_packages(venv) / "demo/mine.txt"
    keep.write_text("the user's own")
    done = install(workshop, venv, workshop.entry("demo-name", "2.0", files={"fresh.py": ""}))
    assert done.removed == ("Demo_Name-1.0.dist-info",)
    inside = site_packages(venv).relative_to(venv)
    assert {path for path in tree(venv) - before if ".dist-info" not in path} == {
        f"{inside}/demo/mine.txt",
        f"{inside}/fresh.py",
    }


def test_installing_twice_is_the_same_as_once(workshop: Workshop, venv: Path) -> None:
    entry = workshop.entry("demo", **DEMO)
    install(workshop, venv, entry)
    once = tree(venv)
    install(workshop, venv, entry)
    assert tree(venv) == once


def test_distributions_with_similar_names_stay(workshop: Workshop, venv: Path) -> None:
    for name in ("demo-extra", "demo2", "demo"):
        install(workshop, venv, workshop.entry(name))
    assert install(workshop, venv, workshop.entry("demo", "2.0")).removed == ("demo-1.0.dist-info",)
    assert {path.name for path in site_packages(venv).glob("*.dist-info")} == {
        "demo-2.0.dist-info",
        "demo2-1.0.dist-info",
        "demo_extra-1.0.dist-info",
    }


@pytest.mark.parametrize(
    "row",
    [
        "../../../../outside,,",
        "/etc/hostname,,",
        "../../../pyvenv.cfg,,",
        "../../../bin/python3,,",
        "../../../away/x,,",
        '"open',
    ],
)
def test_a_record_that_leads_outside_removes_nothing(workshop: Workshop, venv: Path, row: str) -> None:
    install(workshop, venv, workshop.entry("demo"))
    (venv.parent / "outside").write_text("")
    (venv / "away").symlink_to(venv.parent)
    record = site_packages(venv) / "demo-1.0.dist-info/RECORD"
    record.write_text(f"demo/__init__.py,,\n{row}\n")
    assert refused(workshop, venv, workshop.entry("demo", "2.0")) == "install.no-record"
    assert (venv.parent / "outside").exists()


@pytest.mark.parametrize(
    "form", ["demo-1.0.dist-info", "demo-1.0-py3.12.egg-info", "demo.egg-info", "demo.egg-link"]
)
def test_an_installation_without_record_is_refused(workshop: Workshop, venv: Path, form: str) -> None:
    (site_packages(venv) / form).mkdir()
    assert refused(workshop, venv, workshop.entry("demo")) == "install.no-record"


def test_a_file_of_another_distribution_is_replaced_and_not_written_to(
    workshop: Workshop, venv: Path
) -> None:
    one = workshop.entry("one", files={"shared.py": "one"})
    install(workshop, venv, one)
    install(workshop, venv, workshop.entry("two", files={"shared.py": "two"}))
    assert (site_packages(venv) / "shared.py").read_text() == "two"
    assert (workshop.path(one) / "lib/python/site-packages/shared.py").read_text() == "one"


# Refusals and other file systems


@pytest.mark.parametrize(
    "kind", ["empty", "missing", "no-python", "no-library", "two-libraries", "path-set", "base"]
)
def test_what_is_no_venv_is_refused(workshop: Workshop, venv: Path, tmp_path: Path, kind: str) -> None:
    entry = workshop.entry("demo")
    target = venv
    if kind == "empty":
        target = tmp_path / "empty"
        target.mkdir()
    elif kind == "missing":
        target = tmp_path / "missing"
    elif kind == "no-python":
        (venv / "bin/python").unlink()
    elif kind == "no-library":
        shutil.rmtree(site_packages(venv))
    elif kind == "two-libraries":
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
        (venv / "lib/python2.7/site-packages").mkdir(parents=True)
    elif kind == "path-set":
        target = workshop.build(newest(), entry)
    else:
        target = newest().parent.parent
    with pytest.raises(StoreError) as caught:
        install(workshop, target, entry)
    assert caught.value.code == "install.not-a-venv"


def test_several_libraries_and_a_version_are_enough(workshop: Workshop, venv: Path) -> None:
    (venv / "lib/python2.7/site-packages").mkdir(parents=True)
    done = install(workshop, venv, workshop.entry("demo"))
    assert "python2.7" not in done.site_packages


@pytest.mark.parametrize("place", ["away/x.txt", "bin/nested/x", "share"])
def test_a_place_that_is_not_the_venv_s_is_refused(workshop: Workshop, venv: Path, place: str) -> None:
    outside = venv.parent / "outside"
    outside.mkdir()
    (venv / "away").symlink_to(outside)
    (venv / "bin/nested").symlink_to(outside)
    (venv / "share").mkdir(exist_ok=True)
    assert refused(workshop, venv, workshop.entry("demo", data={f"data/{place}": ""})) == "install.collision"
    assert os.listdir(outside) == []


def test_on_another_file_system_files_are_copied(workshop: Workshop, venv: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == workshop.store.parent.stat().st_dev:
        pytest.skip("no second file system that this user can write")
    with tempfile.TemporaryDirectory(dir=memory) as elsewhere:
        target = Path(shutil.copytree(venv, Path(elsewhere, "venv"), symlinks=True))
        entry = workshop.entry("demo", **DEMO)
        done = install(workshop, target, entry)
        assert done.linked == 0
        assert done.copied > 0
        copy = site_packages(target) / "demo/data.txt"
        assert copy.read_text() == "data"
        assert copy.stat().st_mode & 0o777 == 0o644
        assert (target / "bin/native").stat().st_mode & 0o777 == 0o755


def test_a_disk_that_is_full_is_named(
    workshop: Workshop, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A full file system cannot be made without root's rights; only the error is made up, all else is real.
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    entry = workshop.entry("demo")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        with pytest.raises(StoreError) as caught:
            install(workshop, venv, entry)
    assert caught.value.code == "disk.full"
    # What was left can be cleaned up, because RECORD was written first.
    assert install(workshop, venv, entry).removed == ("demo-1.0.dist-info",)


def test_a_damaged_entry_changes_nothing(workshop: Workshop, venv: Path) -> None:
    entry = workshop.entry("demo")
    manifest = workshop.path(entry) / "manifest"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes()[:-4])
    assert refused(workshop, venv, entry) == "store.damaged"
