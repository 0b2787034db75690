"""Path sets: links that are right in their final place, merges at any depth, conflicts told, nothing lost."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import InterpreterError, StoreError
from sprawld.model import Digest, Overlay
from sprawld.pathsets import setindex
from sprawld.pathsets.pathset import LAYOUT, SetEntry, build_set, set_digest
from sprawld.store.references import of_links, read_references
from tests.support.interpreters import newest
from tests.support.workshop import Workshop, environment_of


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def site_packages(path: Path) -> Path:
    return next(path.glob("lib/python*/site-packages"))


def described(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "set.json").read_text())
    return content


def top(path: Path) -> dict[str, tuple[int, str]]:
    found = setindex.decode((path / "index").read_bytes()).top
    assert found.pop("_virtual_sprawl") == (setindex.PACKAGE, "_virtual_sprawl/__init__.py")
    return found


def refused(workshop: Workshop, *entries: SetEntry) -> str:
    with pytest.raises(StoreError) as caught:
        workshop.build(newest(), *entries)
    return caught.value.code


def test_one_link_for_each_top_level_name(workshop: Workshop) -> None:
    entry = workshop.entry(
        "demo", files={"demo/__init__.py": "", "demo/a/b.py": "", "six.py": "", "ns/x/y.py": ""}
    )
    path = workshop.build(newest(), entry)
    links = {child.name: os.readlink(child) for child in site_packages(path).iterdir() if child.is_symlink()}
    start = f"../../../../../wheels/{entry.digest}/lib/python/site-packages"
    client = links.pop("_virtual_sprawl")
    assert client.startswith("../../../../../client/")
    assert links == {name: f"{start}/{name}" for name in ("demo", "six.py", "ns", "demo-1.0.dist-info")}
    assert top(path) == {"demo": (0, "demo/__init__.py"), "six": (1, "six.py"), "ns": (2, "ns")}


def test_the_shape_of_a_venv(workshop: Workshop) -> None:
    python = newest()
    environment = environment_of(python)
    path = workshop.build(python, workshop.entry("demo"))
    settings = dict(line.split(" = ") for line in (path / "pyvenv.cfg").read_text().splitlines())
    assert settings["home"] == os.path.dirname(environment.executable)
    assert settings["include-system-site-packages"] == "false"
    assert settings["version"] == ".".join(map(str, environment.version))
    assert settings["virtual-sprawl"] == str(LAYOUT)
    for name in ("python", "python3", environment.library):
        assert os.readlink(path / "bin" / name) == environment.executable
    assert (path / "include").is_dir()
    assert (path / "lease").read_bytes() == b""
    assert (path / "lease").stat().st_mode & 0o777 == 0o600


def test_what_nobody_may_write(workshop: Workshop) -> None:
    path = workshop.build(
        newest(), workshop.entry("one", files={"ns/a.py": ""}), workshop.entry("two", files={"ns/b.py": ""})
    )
    for directory, _, names in os.walk(path):
        if directory != str(path):
            assert os.stat(directory).st_mode & 0o777 == 0o555, directory
        for name in set(names) - {"lease"}:
            file = Path(directory, name)
            assert file.is_symlink() or file.stat().st_mode & 0o222 == 0, file


def test_the_daemon_s_umask_does_not_show(workshop: Workshop) -> None:
    entry = workshop.entry("demo", entry_points={"console_scripts": {"demo": "demo:main"}})
    before = os.umask(0o077)
    try:
        path = workshop.build(newest(), entry)
    finally:
        os.umask(before)
    assert (path / "bin/demo").stat().st_mode & 0o777 == 0o555
    assert (path / "set.json").stat().st_mode & 0o777 == 0o444


def test_every_link_leads_somewhere_and_only_into_the_store(workshop: Workshop) -> None:
    entries = [
        workshop.entry("one", files={"ns/a.py": "", "ns/deep/a.py": ""}, data={"data/share/man/a.1": ""}),
        workshop.entry("two", files={"ns/b.py": "", "ns/deep/b.py": ""}, data={"data/share/man/b.1": ""}),
    ]
    path = workshop.build(newest(), *entries)
    for directory, directories, names in os.walk(path):
        for name in directories + names:
            link = Path(directory, name)
            if not link.is_symlink():
                continue
            assert link.exists()
            if link.parent.name != "bin":
                assert not os.readlink(link).startswith("/")
                assert link.resolve().is_relative_to(workshop.store)
    digests = {entry.digest for entry in entries}
    references = read_references(path)
    assert references is not None
    assert references.names == of_links(path) == digests | {described(path)["client"]}


def test_set_json(workshop: Workshop) -> None:
    one, two = workshop.entry("b-name", "2.0"), workshop.entry("A_name", "1.0+local")
    path = workshop.build(newest(), one, two)
    content = described(path)
    assert content["name"] == path.name
    assert content["lock"] == str(workshop.store / "uv.lock")
    assert content["entries"] == [two.digest, one.digest]
    assert content["packages"] == ["a-name==1.0+local", "b-name==2.0"]
    assert content["python"]["executable"] == environment_of(newest()).executable
    assert content["conflicts"] == content["startup"] == []


def test_index_bytes_are_returned(workshop: Workshop, tmp_path: Path) -> None:
    environment = environment_of(newest())
    (tmp_path / "staged").mkdir()
    final = workshop.store / "sets/0123456789abcdef"
    index = build_set(
        tmp_path / "staged",
        final,
        [workshop.entry("demo")],
        environment,
        store_root=workshop.store,
        client_digest="c" * 40,
        lock=tmp_path / "uv.lock",
    )
    assert index == (tmp_path / "staged/index").read_bytes()
    decoded = setindex.decode(index)
    assert decoded.cache_tag == environment.cache_tag
    assert decoded.set_directory == str(final)
    assert decoded.site_packages == f"{final}/lib/{environment.library}/site-packages"


# Merging


def test_namespaces_merge_as_deep_as_they_are_shared(workshop: Workshop) -> None:
    one = workshop.entry("one", files={"google/cloud/storage/__init__.py": "", "google/auth.py": ""})
    two = workshop.entry(
        "two", files={"google/cloud/vision/__init__.py": "", "google/cloud/vision/deep/x.py": ""}
    )
    path = workshop.build(newest(), one, two)
    google = site_packages(path) / "google"
    assert not google.is_symlink()
    assert (google / "auth.py").is_symlink()
    assert not (google / "cloud").is_symlink()
    assert (google / "cloud/storage").is_symlink()
    assert (google / "cloud/vision").is_symlink()
    assert top(path) == {"google": (2, "google")}


def test_regular_packages_spread_over_wheels(workshop: Workshop) -> None:
    core = workshop.entry(
        "azure-core",
        files={
            "azure/core/__init__.py": "",
            "azure/core/tracing/__init__.py": "",
            "azure/core/tracing/ext/__init__.py": "same",
        },
    )
    tracing = workshop.entry(
        "azure-core-tracing",
        files={"azure/core/tracing/ext/__init__.py": "same", "azure/core/tracing/ext/otel/__init__.py": ""},
    )
    path = workshop.build(newest(), core, tracing)
    merged = site_packages(path) / "azure/core/tracing/ext"
    assert sorted(os.listdir(merged)) == ["__init__.py", "otel"]
    assert described(path)["conflicts"] == []


def test_a_namespace_in_one_wheel_is_a_package_with_another(workshop: Workshop) -> None:
    old = workshop.entry("nvidia-old", files={"nvidia/__init__.py": "", "nvidia/a/lib.so": ""})
    new = workshop.entry("nvidia-new", files={"nvidia/b/lib.so": ""})
    path = workshop.build(newest(), old, new)
    assert top(path) == {"nvidia": (0, "nvidia/__init__.py")}


def test_different_content_has_a_fixed_winner(workshop: Workshop) -> None:
    files = {f"entry-{letter}": {"cv2/__init__.py": letter, "cv2/same.py": "x"} for letter in "cab"}
    entries = [workshop.entry(name, files=content) for name, content in files.items()]
    path = workshop.build(newest(), *entries)
    assert (site_packages(path) / "cv2/__init__.py").read_text() == "c"
    place = site_packages(path).relative_to(path)
    assert described(path)["conflicts"] == [
        {
            "path": f"{place}/cv2/__init__.py",
            "winner": "entry-c==1.0",
            "losers": ["entry-a==1.0", "entry-b==1.0"],
        }
    ]


def test_the_same_top_level_file(workshop: Workshop) -> None:
    one = workshop.entry("one", files={"LICENSE": "mit", "six.py": "s" * 10})
    two = workshop.entry("two", files={"LICENSE": "bsd", "six.py": "s" * 10})
    path = workshop.build(newest(), two, one)
    assert (site_packages(path) / "LICENSE").read_text() == "bsd"
    assert [conflict["winner"] for conflict in described(path)["conflicts"]] == ["two==1.0"]
    assert top(path) == {"six": (1, "six.py")}


def test_content_is_compared_to_the_end(workshop: Workshop) -> None:
    size = (1 << 20) + 5
    one = workshop.entry("one", files={"big.bin": b"\0" * size})
    two = workshop.entry("two", files={"big.bin": b"\0" * (size - 1) + b"\1"})
    assert len(described(workshop.build(newest(), one, two))["conflicts"]) == 1


def test_bytecode_that_root_left_in_an_entry_is_not_merged(workshop: Workshop) -> None:
    entries = [workshop.entry(name, files={f"ns/{name}.py": ""}) for name in ("one", "two")]
    for entry in entries:
        directory = workshop.path(entry) / "lib/python/site-packages/ns"
        directory.chmod(0o755)
        (directory / "__pycache__").mkdir()
    path = workshop.build(newest(), *entries)
    assert sorted(os.listdir(site_packages(path) / "ns")) == ["one.py", "two.py"]


@pytest.mark.parametrize("depth", ["", "ns/deep/"])
def test_a_file_against_a_directory_is_refused(workshop: Workshop, depth: str) -> None:
    one = workshop.entry("one", files={f"{depth}thing": ""})
    two = workshop.entry("two", files={f"{depth}thing/x.py": ""})
    assert refused(workshop, one, two) == "set.collision"


def test_two_versions_of_one_distribution_are_refused(workshop: Workshop) -> None:
    assert refused(workshop, workshop.entry("demo", "1.0"), workshop.entry("demo", "2.0")) == "set.collision"


# Files beside site-packages


def test_data_is_merged_at_the_root(workshop: Workshop) -> None:
    one = workshop.entry(
        "one",
        data={
            "data/share/jupyter/kernels/one/kernel.json": "1",
            "data/etc/one.cfg": "1",
            "data/lib/libone.so": "1",
            "data/lib/pkgconfig/one.pc": "1",
            "headers/one.h": "1",
        },
    )
    two = workshop.entry(
        "two",
        data={
            "data/share/jupyter/labextensions/two.js": "2",
            "data/lib/pkgconfig/two.pc": "2",
            "headers/two.h": "2",
        },
    )
    path = workshop.build(newest(), one, two)
    assert (path / "share/jupyter/kernels/one/kernel.json").read_text() == "1"
    assert (path / "share/jupyter/labextensions/two.js").read_text() == "2"
    assert os.readlink(path / "etc") == f"../../wheels/{one.digest}/etc"
    assert (path / "lib/libone.so").is_symlink()
    assert sorted(os.listdir(path / "lib/pkgconfig")) == ["one.pc", "two.pc"]
    assert (path / "include/one/one.h").read_text() == "1"
    assert (path / "include/two/two.h").read_text() == "2"
    library = environment_of(newest()).library
    # Where installers put headers in a venv.
    assert (path / "include/site" / library / "two/two.h").read_text() == "2"


@pytest.mark.parametrize(
    "name",
    [
        *("index", "lease", "set.json", "boot", "lib64/x", "local/lib/LIBRARY/dist-packages/x.pth"),
        *("lib/LIBRARY/site-packages/x.py", "lib/python3/dist-packages/x.pth"),
    ],
)
def test_data_never_takes_the_place_of_the_set_s_own_files(workshop: Workshop, name: str) -> None:
    name = name.replace("LIBRARY", environment_of(newest()).library)
    assert refused(workshop, workshop.entry("demo", data={f"data/{name}": ""})) == "set.collision"


@pytest.mark.parametrize("name", ["_virtual_sprawl/__init__.py", "_virtual_sprawl"])
def test_the_client_is_never_replaced(workshop: Workshop, name: str) -> None:
    assert refused(workshop, workshop.entry("demo", files={name: ""})) == "set.collision"
    both = [workshop.entry("one", files={name: ""}), workshop.entry("two", files={name: ""})]
    assert refused(workshop, *both) == "set.collision"


# Scripts and start-up files


def test_scripts(workshop: Workshop) -> None:
    entry = workshop.entry(
        "demo",
        entry_points={"console_scripts": {"demo": "demo:main [extra]"}, "other": {"x": "y"}},
        data={"scripts/old": "#!python\nprint()\n", "scripts/native": b"\x7fELF"},
        modes={"demo-1.0.data/scripts/native": 0o755},
    )
    path = workshop.build(newest(), entry)
    line = f"#!{path}/bin/python\n".encode()
    assert (path / "bin/old").read_bytes() == line + b"print()\n"
    assert (path / "bin/demo").read_bytes().startswith(line + b"from demo import main\n")
    assert os.readlink(path / "bin/native") == f"../../../wheels/{entry.digest}/bin/native"


def test_equal_script_names(workshop: Workshop) -> None:
    def entry(name: str, target: str) -> SetEntry:
        return workshop.entry(name, entry_points={"console_scripts": {"tool": target}})

    path = workshop.build(newest(), entry("b", "b:main"), entry("a", "a:main"))
    assert b"from b import main" in (path / "bin/tool").read_bytes()
    assert described(path)["conflicts"] == [{"path": "bin/tool", "winner": "b==1.0", "losers": ["a==1.0"]}]
    same = workshop.build(newest(), entry("c", "c:main"), entry("d", "c:main"))
    assert described(same)["conflicts"] == []


def test_start_up_code_is_left_out(workshop: Workshop) -> None:
    pth = "# comment\nimport os; os.abort()\ninner/path\n../outside\n/absolute\nimport\tos\n"
    entry = workshop.entry(
        "evil",
        files={
            "evil.pth": pth,
            "code.pth": "import os\n",
            "evil.start": "os:abort\n",
            "sitecustomize.py": "",
            "usercustomize/__init__.py": "",
            "inner/path/module.py": "",
            "latin.pth": b"caf\xe9\n",
            "large.pth": "x\n" * 40000,
            "fine.py": "",
        },
    )
    path = workshop.build(newest(), entry)
    assert sorted(os.listdir(site_packages(path))) == [
        "_virtual_sprawl",
        "_virtual_sprawl.pth",
        "evil-1.0.dist-info",
        "evil.pth",
        "fine.py",
        "inner",
    ]
    assert (site_packages(path) / "evil.pth").read_text() == "inner/path\n"
    assert top(path) == {"fine": (1, "fine.py"), "inner": (2, "inner")}
    left_out = described(path)["startup"]
    assert {item["file"]: item["kept"] for item in left_out} == {
        "evil.pth": "inner/path\n",
        "code.pth": "",
        "evil.start": "",
        "sitecustomize.py": "",
        "usercustomize": "",
        "latin.pth": "",
        "large.pth": "",
    }
    assert {item["package"] for item in left_out} == {"evil==1.0"}


@pytest.mark.parametrize("brought", ["inner/sitecustomize.py", "inner/sitecustomize/__init__.py", "archive"])
def test_a_path_line_does_not_open_a_back_door(workshop: Workshop, brought: str) -> None:
    one = workshop.entry("one", files={"one.pth": "inner\narchive\nabsent\n", "inner/fine.py": ""})
    two = workshop.entry("two", files={brought: "", "two.py": ""})
    path = workshop.build(newest(), one, two)
    kept = "" if brought.startswith("inner") else "inner\n"
    assert described(path)["startup"] == [{"package": "one==1.0", "file": "one.pth", "kept": kept}]
    assert (site_packages(path) / "one.pth").exists() is bool(kept)


def test_start_up_code_of_known_distributions_is_kept(workshop: Workshop) -> None:
    path = workshop.build(
        newest(), workshop.entry("setuptools", files={"distutils-precedence.pth": "import os\n"})
    )
    assert (site_packages(path) / "distutils-precedence.pth").is_symlink()
    assert described(path)["startup"] == []


def test_a_wheel_cannot_bring_our_own_start_up_file(workshop: Workshop) -> None:
    entry = workshop.entry("setuptools", files={"_virtual_sprawl.pth": "import os\n"})
    assert refused(workshop, entry) == "set.collision"


# Digests and interpreters


def test_the_digest_tells_sets_apart(tmp_path: Path) -> None:
    environment = environment_of(newest())
    a, b = Digest("a" * 64), Digest("b" * 64)
    base = set_digest([a, b], environment, "c")
    project = Overlay(name="p", version="1", root=str(tmp_path), metadata="")
    assert len(base) == 40
    assert int(base, 16)
    assert set_digest([b, a], environment, "c") == base
    others = {
        set_digest([a], environment, "c"),
        set_digest([a, b], environment, "d"),
        set_digest([a, b], environment, "c", [project]),
        set_digest([a, b], dataclasses.replace(environment, identity="x"), "c"),
        set_digest([a, b], dataclasses.replace(environment, executable="/x"), "c"),
        set_digest([a, b], dataclasses.replace(environment, library="python3.13t"), "c"),
    }
    assert len(others | {base}) == 7


def test_a_described_interpreter_has_no_sets(workshop: Workshop, tmp_path: Path) -> None:
    for executable, code in (("", "python.not-found"), ("/a\nhome = /b", "python.unsupported")):
        environment = dataclasses.replace(environment_of(newest()), executable=executable)
        with pytest.raises(InterpreterError) as caught:
            build_set(
                tmp_path,
                tmp_path / "final",
                [],
                environment,
                store_root=workshop.store,
                client_digest="c",
                lock=tmp_path,
            )
        assert caught.value.code == code


def test_a_staging_directory_that_is_gone_is_an_error(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        build_set(
            tmp_path / "gone",
            tmp_path / "final",
            [],
            environment_of(newest()),
            store_root=workshop.store,
            client_digest="c",
            lock=tmp_path,
        )
    assert caught.value.code == "store.unwritable"


def test_trees_in_bin_and_data_of_several_wheels(workshop: Workshop) -> None:
    """Programs below `bin/`, Jupyter's directories, headers: merged as deep as wheels share them."""
    kernels, extensions = "data/share/jupyter/kernels", "data/share/jupyter/labextensions"
    one = {f"{kernels}/python3/kernel.json": "{}", "data/etc/jupyter/one.json": "", "data/bin/sub/tool": "1"}
    two = {
        f"{extensions}/two/package.json": "{}",
        "data/etc/jupyter/two.json": "",
        "data/bin/sub/deep/x": "2",
    }
    path = workshop.build(
        newest(),
        workshop.entry("one", data={**one, "headers/one.h": "", "scripts/run": "#!python\n"}),
        workshop.entry("two", data={**two, "scripts/native": b"\x7fELF"}),
    )
    files = {name.partition("/")[2] for name in (*one, *two)}
    assert {name for name in files if (path / name).is_file()} == files
    assert not (path / "bin/sub").is_symlink()
    assert (path / "bin/sub/deep").is_symlink()
    assert os.readlink(path / "bin/native").endswith("/bin/native")
    assert os.access(path / "bin/native", os.X_OK)
    assert f"{path}/bin/python" in (path / "bin/run").read_text()
    assert (path / "include/one/one.h").is_file()
