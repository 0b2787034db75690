from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprawld.errors import LockError, SprawlError
from sprawld.lockfiles import requirements
from sprawld.lockfiles.requirements import RequirementsLock
from sprawld.model import Environment, Hash, Pin, Wanted
from tests.support.locks import DIGEST, INDEX, PLAIN, linux, names, windows, write

OTHER = "cd" * 32
COMMIT = "0123456789" * 4
FILE = "a-1.0-py3-none-any.whl"


def read(directory: Path, text: str | bytes, **variables: str) -> RequirementsLock:
    return requirements.read(write(directory, "requirements.txt", text), variables=variables)


def select(
    directory: Path, text: str | bytes, here: Environment | None = None, wanted: Wanted = PLAIN
) -> tuple[Pin, ...]:
    return read(directory, text).select(here or linux(), wanted)


def pin(directory: Path, line: str) -> Pin:
    (found,) = select(directory, line)
    return found


def code(directory: Path, text: str | bytes, wanted: Wanted = PLAIN) -> str:
    with pytest.raises(SprawlError) as caught:
        select(directory, text, wanted=wanted)
    assert str(directory) in caught.value.message
    return caught.value.code


class TestPins:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("A.b==1.0", "a-b==1.0"),
            ("a === 1.0", "a==1.0"),
            ("a[x, y] == 1.0+cu118  # comment", "a==1.0+cu118"),
            ("a>=0.9,==1.0", "a==1.0"),
            (" \ta==1!2.0", "a==1!2.0"),
            ("a==1.0; python_version >= '3'", "a==1.0"),
        ],
    )
    def test_names_with_versions(self, tmp_path: Path, line: str, expected: str) -> None:
        assert names(select(tmp_path, line)) == [expected]

    def test_hashes_belong_to_the_line_and_not_to_file_names(self, tmp_path: Path) -> None:
        found = pin(tmp_path, f"a==1 \\\n  --hash=sha256:{DIGEST} \\\n  --hash SHA256:{OTHER.upper()}")
        assert found.artifacts == ()
        assert [each.value for each in found.hashes] == [DIGEST, OTHER]
        assert (found.source.kind, found.source.index) == ("registry", None)

    def test_who_needs_it(self, tmp_path: Path) -> None:
        text = "a==1\n    # via\n    #   b\n    #   -r main.in\n"
        assert pin(tmp_path, text).via == ("b", "-r main.in")

    def test_hashed_by_any_hash_or_by_request(self, tmp_path: Path) -> None:
        assert not read(tmp_path, "a==1").hashed
        assert read(tmp_path, f"a==1\nb==1 --hash=sha256:{DIGEST}").hashed
        assert read(tmp_path, "--require-hashes\na==1").hashed

    def test_markers(self, tmp_path: Path) -> None:
        text = "a==1 ; sys_platform == 'win32'\nb==1 ; sys_platform != 'win32'"
        assert names(select(tmp_path, text)) == ["b==1"]
        assert names(select(tmp_path, text, windows())) == ["a==1"]

    def test_no_extras_and_no_groups(self, tmp_path: Path) -> None:
        assert code(tmp_path, "a==1", Wanted(extras=("x",))) == "select.unknown-extra"
        assert code(tmp_path, "a==1", Wanted(groups=("dev",))) == "select.unknown-group"
        assert names(select(tmp_path, "a==1", wanted=Wanted(no_dev=True, all_groups=True))) == ["a==1"]

    def test_encodings(self, tmp_path: Path) -> None:
        assert names(select(tmp_path, "a==1\r\n".encode("utf-16"))) == ["a==1"]
        assert names(select(tmp_path, b"# coding: latin-1\n# \xe9\na==1")) == ["a==1"]
        assert code(tmp_path, b"a==1 # \xe9") == "lock.not-utf8"


class TestNotPinned:
    @pytest.mark.parametrize(
        "line",
        [
            "a",
            "a>=1.0",
            "a==1.*",
            "a~=1.0",
            "a!=1.0",
            "git+https://host/a.git#egg=a",
            "a @ git+https://host/a.git@v1.0",
            "a @ git+https://host/a.git@1234567",
            "-e git+https://host/a.git@main#egg=a",
            "https://host/archive/main.zip#egg=a",
            "a @ https://host/v1.0.tar.gz",
        ],
    )
    def test_is_told_when_the_file_is_read(self, tmp_path: Path, line: str) -> None:
        with pytest.raises(LockError) as caught:
            read(tmp_path, f"b==1\n{line}\n")
        assert caught.value.code == "lock.not-pinned"
        assert "uv pip compile" in caught.value.hint
        assert "line 2" in caught.value.message

    def test_under_a_marker_only_where_it_holds(self, tmp_path: Path) -> None:
        found = read(tmp_path, "a>=1 ; sys_platform == 'win32'\nb==1")
        assert names(found.select(linux(), PLAIN)) == ["b==1"]
        with pytest.raises(LockError) as caught:
            found.select(windows(), PLAIN)
        assert caught.value.code == "lock.not-pinned"

    def test_comes_before_other_faults(self, tmp_path: Path) -> None:
        assert code(tmp_path, "a>=1\n--no-such-option\n") == "lock.not-pinned"


class TestSeveralLines:
    def test_disjoint_markers(self, tmp_path: Path) -> None:
        text = "a==1 ; python_version < '3.11'\na==2 ; python_version >= '3.11'"
        assert names(select(tmp_path, text)) == ["a==2"]
        assert names(select(tmp_path, text, linux("3.10.1"))) == ["a==1"]

    def test_lines_that_agree(self, tmp_path: Path) -> None:
        first, second = f"--hash=sha256:{DIGEST}", f"--hash=sha256:{OTHER}"
        (found,) = select(tmp_path, f"a==1.0 {first} {second}\nA==1 {second}\na==1.0")
        assert found.hashes == (Hash(algorithm="sha256", value=OTHER),)
        assert code(tmp_path, f"a==1.0 {first}\na==1.0 {second}") == "lock.invalid"

    @pytest.mark.parametrize("other", ["a==2", f"a @ https://host/{FILE}", "-e ./a"])
    def test_lines_that_do_not(self, tmp_path: Path, other: str) -> None:
        write(tmp_path, "a/pyproject.toml", '[project]\nname = "a"\n')
        assert code(tmp_path, f"a==1\n{other}") == "lock.duplicate-package"


class TestDirect:
    @pytest.mark.parametrize(
        "line", [f"a @ https://host/x/{FILE}", f"a@https://host/x/{FILE}", f"https://host/x/{FILE}"]
    )
    def test_urls_of_files_that_name_their_version(self, tmp_path: Path, line: str) -> None:
        found = pin(tmp_path, f"{line} ; python_version > '3'")
        assert (found.name, found.version, found.source.kind) == ("a", "1.0", "url")
        assert (found.artifacts[0].url, found.artifacts[0].filename) == (f"https://host/x/{FILE}", FILE)

    def test_hashes_of_urls(self, tmp_path: Path) -> None:
        found = pin(tmp_path, f"a @ https://host/main.zip#sha256={DIGEST}&subdirectory=py")
        assert found.artifacts[0].hashes == (Hash(algorithm="sha256", value=DIGEST),)
        assert (found.source.url, found.source.subdirectory) == ("https://host/main.zip", "py")
        found = pin(tmp_path, f"https://host/main.zip#egg=a[x] --hash=sha256:{DIGEST}")
        assert (found.name, found.version, found.hashes[0].value) == ("a", None, DIGEST)

    @pytest.mark.parametrize(
        ("line", "url"),
        [
            (f"a @ git+https://host/a.git@{COMMIT}", "https://host/a.git"),
            (f"git+https://host/A.git@{COMMIT}", "https://host/A.git"),
            (f"-e git+ssh://git@host/x.git@{COMMIT}#egg=a", "ssh://git@host/x.git"),
            (f"git+https://${{TOKEN}}@host/a.git@{COMMIT}", "https://host/a.git"),
        ],
    )
    def test_git_at_a_commit(self, tmp_path: Path, line: str, url: str) -> None:
        found = pin(tmp_path, line)
        assert (found.name, found.source.kind, found.source.url, found.source.commit) == (
            "a",
            "git",
            url,
            COMMIT,
        )

    def test_local_git(self, tmp_path: Path) -> None:
        source = pin(tmp_path, f"a @ git+file:///srv/a@{COMMIT}").source
        assert (source.kind, source.path, source.commit) == ("git", Path("/srv/a"), COMMIT)

    @pytest.mark.parametrize("line", [f"./w/{FILE}", f"w/{FILE}[x]", f"a @ file:w/{FILE}", f"file:w/{FILE}"])
    def test_local_files(self, tmp_path: Path, line: str) -> None:
        found = pin(tmp_path, line)
        assert (found.name, found.version, found.source.kind) == ("a", "1.0", "path")
        assert found.artifacts[0].path is not None
        assert found.artifacts[0].path.resolve() == tmp_path / "w" / FILE

    @pytest.mark.parametrize(
        ("line", "kind", "place"),
        [
            ("-e .", "editable", ""),
            ("-e .[dev] ; python_version > '3'", "editable", ""),
            (".", "directory", ""),
            ("-e ./sub", "editable", "sub"),
            ("-e sub", "editable", "sub"),
            ("sub @ file:sub", "directory", "sub"),
            ("./old", "directory", "old"),
            ("./Some.dir", "directory", "Some.dir"),
        ],
    )
    def test_local_directories(self, tmp_path: Path, line: str, kind: str, place: str) -> None:
        write(tmp_path, "pyproject.toml", '[project]\nname = "App"\n')
        write(tmp_path, "sub/pyproject.toml", '[tool.poetry]\nname = "sub"\n')
        write(tmp_path, "old/setup.cfg", "[metadata]\nname = old\n")
        found = pin(tmp_path, line)
        assert found.name == {"": "app", "Some.dir": "some-dir"}.get(place, place)
        assert (found.source.kind, found.version) == (kind, None)
        assert found.source.path is not None
        assert found.source.path.resolve() == tmp_path / place

    def test_files_that_name_a_directory_are_inputs(self, tmp_path: Path) -> None:
        write(tmp_path, "sub/setup.cfg", "[metadata]\nname = sub\n")
        found = read(tmp_path, "-e ./sub")
        assert found.inputs[0] == tmp_path / "requirements.txt"
        assert tmp_path / "sub/setup.cfg" in found.inputs

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("ftp://host/a-1.0.tar.gz", "lock.url-refused"),
            ("https://host/${SECRET}/a-1.0.tar.gz", "lock.url-refused"),
            ("./${SECRET}/a-1.0.tar.gz", "lock.invalid"),
            (f"a @ git+ext::sh@{COMMIT}", "lock.url-refused"),
            ("hg+https://host/a#egg=a", "lock.unsupported"),
            ("a @ file://host/share/a-1.0.tar.gz", "lock.url-refused"),
            (f"a @ https://host/{FILE.replace('a-', 'b-')}", "lock.not-pinned"),
            (f"a @ https://host/{FILE.replace('a-', 'b-')}#sha256={DIGEST}", "lock.filename-mismatch"),
            ("https://host/x.zip", "lock.syntax"),
            ("a#b==1", "lock.syntax"),
            ("-e not-there", "lock.syntax"),
            ("a\x1b[31m==1", "lock.syntax"),
            ("a==1 --hash=sha256:xyz", "lock.invalid"),
            ("a==1 --hash=crc32:00", "lock.invalid"),
            ("a==1 ; nonsense == 'x'", "lock.syntax"),
            ("a==1 ; " + " or ".join(["os_name == 'x'"] * 2000), "lock.invalid"),
            ("a===one", "lock.invalid"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, line: str, expected: str) -> None:
        assert code(tmp_path, line) == expected


class TestIndexes:
    def test_options_hold_for_every_line(self, tmp_path: Path) -> None:
        text = f"a==1\n--index-url {INDEX}\n--extra-index-url https://b/s --extra-index-url https://c/s\n"
        source = pin(tmp_path, text).source
        assert (source.index, source.extra_indexes) == (INDEX, ("https://b/s", "https://c/s"))

    def test_the_last_index_counts(self, tmp_path: Path) -> None:
        assert pin(tmp_path, f"-i https://a/s\n-i {INDEX}\na==1").source.index == INDEX

    def test_links(self, tmp_path: Path) -> None:
        source = pin(tmp_path, "-f ./wheels\n--find-links https://host/links.html\na==1").source
        assert source.find_links == (str(tmp_path / "wheels"), "https://host/links.html")
        assert not source.no_index
        # A wheel that is put there may be a better one.
        assert tmp_path / "wheels" in read(tmp_path, "a==1\n-f ./wheels").inputs

    def test_no_index(self, tmp_path: Path) -> None:
        found = pin(tmp_path, "--no-index -f ./wheels\na==1")
        assert found.source.no_index
        assert read(tmp_path, "--no-index -f ./wheels\na==1").warnings == ()

    def test_variables_are_the_callers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOKEN", "secret")
        text = "-i https://user:${TOKEN}@host/simple\na==1"
        assert pin(tmp_path, text).source.index == "https://host/simple"
        (found,) = read(tmp_path, text, TOKEN="own").select(linux(), PLAIN)
        assert found.source.index == "https://user:own@host/simple"
        assert code(tmp_path, "-i https://host/${TOKEN}\na==1") == "lock.url-refused"

    def test_options_that_are_not_honoured_are_told(self, tmp_path: Path) -> None:
        found = read(tmp_path, "--trusted-host h\n--no-binary :all:\n--prefer-binary\na==1")
        assert [warning.partition(": ")[2] for warning in found.warnings] == [
            "--trusted-host is not honoured",
            "--no-binary is not honoured",
        ]


class TestIncludes:
    def test_relative_to_the_including_file(self, tmp_path: Path) -> None:
        write(tmp_path, "deep/b.txt", "-c ../c.txt\n-r deeper/d.txt\nb==1\n")
        write(tmp_path, "deep/deeper/d.txt", f"-i {INDEX}\nd==1\n")
        write(tmp_path, "c.txt", "unrelated==3\nb<2\n")
        found = read(tmp_path, "-r deep/b.txt\na==1\n")
        pins = found.select(linux(), PLAIN)
        assert names(pins) == ["a==1", "b==1", "d==1"]
        assert {each.source.index for each in pins} == {INDEX}
        assert [path.name for path in found.inputs[:4]] == ["requirements.txt", "b.txt", "c.txt", "d.txt"]

    def test_constraints_install_nothing_and_must_not_contradict(self, tmp_path: Path) -> None:
        write(tmp_path, "c.txt", "a<2 ; sys_platform == 'linux'\nb\n")
        assert names(select(tmp_path, "-c c.txt\na==1")) == ["a==1"]
        assert code(tmp_path, "-c c.txt\na==2") == "lock.invalid"
        assert names(select(tmp_path, "-c c.txt\na==2", windows())) == ["a==2"]

    def test_outside_of_the_directory(self, tmp_path: Path) -> None:
        write(tmp_path, "shared.txt", "a==1")
        found = requirements.read(write(tmp_path, "project/requirements.txt", "-r ../shared.txt"))
        assert names(found.select(linux(), PLAIN)) == ["a==1"]

    def test_each_file_is_read_once(self, tmp_path: Path) -> None:
        for number in range(60):
            write(tmp_path, f"{number}.txt", f"-r {number + 1}.txt\n-r {number + 1}.txt\n")
        write(tmp_path, "60.txt", "a==1")
        assert names(select(tmp_path, "-r 0.txt")) == ["a==1"]

    def test_cycles(self, tmp_path: Path) -> None:
        write(tmp_path, "b.txt", "-r requirements.txt")
        assert code(tmp_path, "-r b.txt") == "lock.invalid"
        assert code(tmp_path, "-c requirements.txt") == "lock.invalid"

    def test_too_many(self, tmp_path: Path) -> None:
        for number in range(101):
            write(tmp_path, f"{number}.txt", "a==1")
        text = "".join(f"-r {number}.txt\n" for number in range(101))
        assert code(tmp_path, text) == "lock.invalid"

    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            ("missing.txt", "lock.unreadable"),
            (".", "lock.unreadable"),
            ("https://host/r.txt", "lock.url-refused"),
            ("file://host/r.txt", "lock.url-refused"),
            ("${DIR}/r.txt", "lock.invalid"),
        ],
    )
    def test_what_is_not_included(self, tmp_path: Path, place: str, expected: str) -> None:
        assert code(tmp_path, f"-r {place}") == expected

    def test_what_is_no_regular_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo.txt")
        assert code(tmp_path, "-r fifo.txt") == "lock.unreadable"

    def test_files_that_others_can_write(self, tmp_path: Path) -> None:
        write(tmp_path, "open.txt", "a==1").chmod(0o666)
        assert code(tmp_path, "-r open.txt") == "lock.world-writable"

    def test_the_included_file_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "b.txt", "a==1\n--nonsense\n")
        with pytest.raises(LockError) as caught:
            read(tmp_path, "-r b.txt")
        assert str(tmp_path / "b.txt") in caught.value.message
        assert "line 2" in caught.value.message
