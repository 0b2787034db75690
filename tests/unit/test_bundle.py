"""Bundles: what has to lie in one tree is found by what binaries say, merged with hard links, and works."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import StoreError
from sprawld.pathsets import setindex
from sprawld.pathsets.bundle import build_bundle, plan_bundles
from sprawld.pathsets.pathset import SetEntry
from sprawld.store import bundles
from sprawld.store.references import of_links, read_references
from tests.support import binaries
from tests.support.interpreters import newest
from tests.support.workshop import Workshop

SP = "lib/python/site-packages"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def described(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "set.json").read_text())
    return content


def only_bundle(workshop: Workshop, path: Path) -> Path:
    (name,) = described(path)["bundles"]
    return workshop.store / "bundles" / name


def site_packages(path: Path) -> Path:
    return next(path.glob("lib/python*/site-packages"))


def run(path: Path, code: str, *options: str) -> str:
    """Run code with the set's own interpreter; return what it prints."""
    command = [path / "bin/python", *options, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={"PATH": os.defpath})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def two_wheels(workshop: Workshop, runpath: str = "$ORIGIN/../../value/lib") -> tuple[SetEntry, SetEntry]:
    """Return an entry with a library, and one whose library needs it."""
    built = workshop.store.parent / "c"
    value = binaries.library(built, "libvalue.so", "int value(void) { return 41; }")
    user = binaries.extension(built, "libvalue.so", runpath)
    return (
        workshop.entry("value", files={"value/__init__.py": "", "value/lib/libvalue.so": value}),
        workshop.entry("user", files={"user/__init__.py": "", "user/lib/libuser.so": user}),
    )


ANSWER = """
import ctypes, os, user
print(ctypes.CDLL(os.path.join(os.path.dirname(user.__file__), "lib", "libuser.so")).answer(), user.__file__)
"""


def test_the_loader_finds_the_library_of_another_wheel(workshop: Workshop) -> None:
    path = workshop.build(newest(), *two_wheels(workshop))
    # With the finder, and without a line of this program.
    for options in ((), ("-S", "-I")):
        code = ANSWER
        if options:
            code = f"import sys; sys.path.append({str(site_packages(path))!r})\n" + ANSWER
        answer, _, file = run(path, code, *options).partition(" ")
        assert answer == "42"
        assert file == str(site_packages(path) / "user/__init__.py")


def test_without_a_bundle_it_would_not(workshop: Workshop) -> None:
    entries = two_wheels(workshop)
    blind = [
        dataclasses.replace(entry, summary=dataclasses.replace(entry.summary, searched=()))
        for entry in entries
    ]
    path = workshop.build(newest(), *blind)
    assert described(path)["bundles"] == []
    with pytest.raises(AssertionError, match=r"libvalue\.so"):
        run(path, ANSWER)


def test_libraries_of_the_prefix(workshop: Workshop) -> None:
    """As tbb and mkl have them: in `.data/data/lib`, beside site-packages."""
    built = workshop.store.parent / "c"
    value = binaries.library(built, "libvalue.so", "int value(void) { return 41; }")
    user = binaries.extension(built, "libvalue.so", "$ORIGIN/../../../..")
    path = workshop.build(
        newest(),
        workshop.entry("value", files={}, data={"data/lib/libvalue.so": value}),
        workshop.entry("user", files={"user/__init__.py": "", "user/lib/libuser.so": user}),
    )
    bundle = only_bundle(workshop, path)
    assert run(path, ANSWER).startswith("42 ")
    assert os.readlink(path / "lib/libvalue.so") == f"../../../bundles/{bundle.name}/lib/libvalue.so"
    code = "import ctypes, sys; print(ctypes.CDLL(sys.prefix + '/lib/libvalue.so').value())"
    assert run(path, code) == "41"


def test_a_native_program_finds_the_library_of_another_wheel(workshop: Workshop) -> None:
    built = workshop.store.parent / "c"
    value = binaries.library(built, "libvalue.so", "int value(void) { return 41; }")
    (built / "main.c").write_text("int value(void); int main(void) { return value(); }")
    command = [binaries.compiler(), "-o", built / "main", built / "main.c", f"-L{built}", "-l:libvalue.so"]
    subprocess.run([*command, "-Wl,-rpath,$ORIGIN/../lib"], check=True)
    program = (built / "main").read_bytes()
    path = workshop.build(
        newest(),
        workshop.entry("value", files={}, data={"data/lib/libvalue.so": value}),
        workshop.entry("tool", files={}, data={"scripts/tool": program, "data/bin/sub/deep": program}),
    )
    assert subprocess.run([path / "bin/tool"]).returncode == 41
    assert os.access(path / "bin/sub", os.X_OK)


def test_a_bundle_is_real_directories_and_the_files_of_the_entries(workshop: Workshop) -> None:
    value, user = two_wheels(workshop)
    path = workshop.build(newest(), value, user)
    bundle = only_bundle(workshop, path)
    record = bundles.read_record(workshop.store, bundle.name)
    assert record.packages == ("user==1.0", "value==1.0")
    assert record.reasons == (
        {"package": "user==1.0", "looks_in": f"{SP}/value/lib", "found_in": ["value==1.0"]},
    )
    assert (record.files, record.copied, record.copied_bytes) == (4, 0, 0)
    assert record.owners == {f"{SP}/user": user.digest, f"{SP}/value": value.digest}
    found = []
    for directory, directories, names in os.walk(bundle):
        assert directory == str(bundle) or os.stat(directory).st_mode & 0o777 == 0o555
        assert not any(os.path.islink(os.path.join(directory, name)) for name in [*directories, *names])
        found += [os.path.relpath(os.path.join(directory, name), bundle) for name in names]
    assert sorted(found) == sorted(
        [
            "bundle.json",
            *(
                f"{SP}/{name}/{file}"
                for name, file in (
                    ("user", "__init__.py"),
                    ("user", "lib/libuser.so"),
                    ("value", "__init__.py"),
                    ("value", "lib/libvalue.so"),
                )
            ),
        ]
    )
    for entry, file in ((value, "value/lib/libvalue.so"), (user, "user/__init__.py")):
        assert os.path.samefile(bundle / SP / file, workshop.path(entry) / SP / file)


def test_a_set_links_its_bundle_and_the_metadata_of_its_entries(workshop: Workshop) -> None:
    value, user = two_wheels(workshop)
    other = workshop.entry("other")
    path = workshop.build(newest(), value, user, other)
    bundle = only_bundle(workshop, path)
    links = {
        link.name: os.readlink(link).split("../")[-1]
        for link in site_packages(path).iterdir()
        if link.is_symlink()
    }
    del links["_virtual_sprawl"]
    assert links == {
        "user": f"bundles/{bundle.name}/{SP}/user",
        "value": f"bundles/{bundle.name}/{SP}/value",
        "other": f"wheels/{other.digest}/{SP}/other",
        **{
            f"{entry.name}-1.0.dist-info": f"wheels/{entry.digest}/{SP}/{entry.name}-1.0.dist-info"
            for entry in (value, user, other)
        },
    }
    references = read_references(path)
    assert references is not None
    assert references.bundles == {bundle.name}
    assert references.names == of_links(path)
    index = setindex.decode((path / "index").read_bytes())
    owners = {place: index.digests[position] for place, position in index.owners.items()}
    assert (owners["user"], owners["value"], owners["other"]) == (user.digest, value.digest, other.digest)


def test_sets_and_interpreters_share_a_bundle(workshop: Workshop) -> None:
    entries = two_wheels(workshop)
    one = workshop.build(newest(), *entries)
    other = workshop.build(newest(), *entries, workshop.entry("other"))
    assert one != other
    assert only_bundle(workshop, one) == only_bundle(workshop, other)


def test_what_belongs_together_is_one_bundle(workshop: Workshop) -> None:
    def library(name: str, *looks: str) -> SetEntry:
        runpath = ":".join(f"$ORIGIN/../../{other}/lib" for other in looks) or None
        return workshop.entry(name, files={f"{name}/lib/lib{name}.so": binaries.elf_bytes(runpath)})

    chain = [library("a", "b"), library("b", "c"), library("c")]
    pair = [library("d"), library("e", "d", "nowhere")]
    alone = [library("f"), library("g", "g"), workshop.entry("h")]
    plans = plan_bundles([*alone, *pair, *chain], workshop.store)
    found = sorted([entry.name for entry in plan.entries] for plan in plans)
    assert found == [["a", "b", "c"], ["d", "e"]]


def test_an_extension_module_draws_nobody_in(workshop: Workshop) -> None:
    module = "_m.cpython-311-x86_64-linux-gnu.so"
    entries = [
        workshop.entry("a", files={module: binaries.elf_bytes("$ORIGIN")}),
        workshop.entry("b", files={"b/_x.abi3.so": binaries.elf_bytes("$ORIGIN/..:$ORIGIN/../b.libs")}),
    ]
    assert plan_bundles(entries, workshop.store) == []


def test_entries_of_an_older_release_are_looked_at(workshop: Workshop) -> None:
    entries = two_wheels(workshop)
    old = [
        dataclasses.replace(entry, summary=dataclasses.replace(entry.summary, searched=None, libraries=None))
        for entry in entries
    ]
    names = [[plan.digest for plan in plan_bundles(them, workshop.store)] for them in (entries, old)]
    assert names[0] == names[1] != []


def test_one_namespace_with_and_without_init(workshop: Workshop) -> None:
    """As the packages called nvidia-*: some ship `nvidia/__init__.py`, some do not; torch looks into them."""
    elf = binaries.elf_bytes
    entries = [
        workshop.entry("nvidia-a", files={"nvidia/__init__.py": "", "nvidia/a/lib/liba.so": elf(),
                                          "nvidia/a/__init__.py": "NAME = 'a'"}),
        workshop.entry("nvidia-b", files={"nvidia/b/lib/libb.so": elf("$ORIGIN/../../a/lib"),
                                          "nvidia/b/__init__.py": "NAME = 'b'"}),
        workshop.entry("nvidia-c", files={"nvidia/__init__.py": "", "nvidia/c/__init__.py": "NAME = 'c'"}),
    ]  # fmt: skip
    path = workshop.build(newest(), *entries)
    bundle = only_bundle(workshop, path)
    sp = site_packages(path)
    assert not (sp / "nvidia").is_symlink()
    assert (sp / "nvidia/a").resolve() == bundle / SP / "nvidia/a"
    assert (sp / "nvidia/c").resolve() == workshop.path(entries[2]) / SP / "nvidia/c"
    code = "from nvidia import a, b, c; print(a.NAME + b.NAME + c.NAME, a.__file__)"
    assert run(path, code) == f"abc {sp}/nvidia/a/__init__.py"
    # What torch does for its CUDA libraries: every directory of sys.path, nvidia/*/lib.
    search = (
        "import glob, sys; print(len([f for p in sys.path for f in glob.glob(p + '/nvidia/*/lib/*.so')]))"
    )
    assert run(path, search) == "2"


def test_a_namespace_of_one_bundle_is_one_link(workshop: Workshop) -> None:
    entries = [
        workshop.entry("n-a", files={"n/a/lib/liba.so": binaries.elf_bytes(None), "n/a/m.py": "X = 1"}),
        workshop.entry(
            "n-b", files={"n/b/lib/libb.so": binaries.elf_bytes("$ORIGIN/../../a/lib"), "n/b/m.py": ""}
        ),
    ]
    path = workshop.build(newest(), *entries)
    assert (site_packages(path) / "n").is_symlink()
    index = setindex.decode((path / "index").read_bytes())
    owners = {place: index.digests[position] for place, position in index.owners.items()}
    assert owners["n/a"] == entries[0].digest
    assert owners["n/b"] == entries[1].digest
    assert run(path, "import n.a.m; print(n.a.m.X)") == "1"


def test_a_regular_package_over_wheels_needs_no_bundle(workshop: Workshop) -> None:
    """As azure-core and its plugins: real directories as deep as they share them, links below."""
    entries = [
        workshop.entry("core", files={"az/core/__init__.py": "", "az/core/tracing/__init__.py": "",
                                      "az/core/tracing/ext/__init__.py": "", "az/core/pipe.py": "X = 1"}),
        workshop.entry("plugin", files={"az/core/tracing/ext/otel/__init__.py": "Y = 2"}),
    ]  # fmt: skip
    path = workshop.build(newest(), *entries)
    assert described(path)["bundles"] == []
    code = "import az.core.pipe as p, az.core.tracing.ext.otel as o; print(p.X, o.Y, o.__file__)"
    assert run(path, code) == f"1 2 {site_packages(path)}/az/core/tracing/ext/otel/__init__.py"


def conflicting(workshop: Workshop) -> list[SetEntry]:
    def entry(name: str, looks: str | None, **more: str) -> SetEntry:
        files = {
            f"{name}/lib/lib{name}.so": binaries.elf_bytes(looks),
            "LICENSE": name,
            "shared/who.py": f"W = '{name}'",
        }
        return workshop.entry(name, files=files | more)

    return [entry("a", None), entry("b", "$ORIGIN/../../d/lib"), entry("c", None), entry("d", None)]


def test_the_same_file_wins_in_a_bundle_and_in_a_set(workshop: Workshop) -> None:
    entries = conflicting(workshop)
    path = workshop.build(newest(), *entries)
    bundle = only_bundle(workshop, path)
    assert bundles.read_record(workshop.store, bundle.name).packages == ("b==1.0", "d==1.0")
    library = site_packages(path).parent.name
    assert described(path)["conflicts"] == [
        {"path": f"lib/{library}/site-packages/{name}", "winner": "d==1.0",
         "losers": ["a==1.0", "b==1.0", "c==1.0"]}
        for name in ("LICENSE", "shared/who.py")
    ]  # fmt: skip
    assert run(path, "import shared.who; print(shared.who.W)") == "d"
    inner = workshop.build(newest(), entries[1], entries[3])
    assert (site_packages(inner) / "shared").is_symlink()
    assert [conflict["losers"] for conflict in described(inner)["conflicts"]] == [["b==1.0"], ["b==1.0"]]
    assert run(inner, "import shared.who; print(shared.who.W)") == "d"


def test_metadata_and_start_up_code_stay_out(workshop: Workshop) -> None:
    value, user = two_wheels(workshop)
    sly = workshop.entry(
        "sly",
        files={"sly.pth": "import os", "sitecustomize.py": "import os", "sly/lib/libs.so": binaries.elf_bytes(
            "$ORIGIN/../../value/lib")},
    )  # fmt: skip
    bundle = only_bundle(workshop, workshop.build(newest(), value, user, sly))
    assert sorted(child.name for child in (bundle / SP).iterdir()) == ["sly", "user", "value"]


def test_a_file_against_a_directory(workshop: Workshop) -> None:
    entries = [
        workshop.entry("a", files={"a/lib/liba.so": binaries.elf_bytes(None), "x.d": ""}),
        workshop.entry("b", files={"b/lib/libb.so": binaries.elf_bytes("$ORIGIN/../../a/lib"), "x.d/y": ""}),
    ]
    with pytest.raises(StoreError) as caught:
        workshop.build(newest(), *entries)
    assert caught.value.code == "set.collision"


def test_where_no_link_is_possible_files_are_copied(workshop: Workshop) -> None:
    """Across file systems, which stands for all refusals."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == workshop.store.parent.stat().st_dev:
        pytest.skip("no second file system")
    (plan,) = plan_bundles(two_wheels(workshop), workshop.store)
    staged = elsewhere / f"bundle-{os.getpid()}"
    staged.mkdir()
    try:
        build_bundle(staged, plan, workshop.store)
        record = json.loads((staged / "bundle.json").read_text())
        file = staged / SP / "value/lib/libvalue.so"
        assert (record["files"], record["copied"]) == (4, 4)
        assert record["copied_bytes"] > file.stat().st_size
        original = (
            workshop.path(next(e for e in plan.entries if e.name == "value")) / SP / "value/lib/libvalue.so"
        )
        assert file.read_bytes() == original.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o444
    finally:
        subprocess.run(["chmod", "-R", "u+w", staged], check=True)
        subprocess.run(["rm", "-r", staged], check=True)
