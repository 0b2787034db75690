from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import LockError, SprawlError
from sprawld.lockfiles import pdm
from sprawld.model import Environment, Pin, Wanted
from tests.support.locks import DIGEST, FILES, INDEX, PLAIN, linux, macos, names, windows, write

COMMIT = "0123456789" * 4
WHEEL = f'files = [{{file = "a-1.0-py3-none-any.whl", hash = "sha256:{DIGEST}"}}]'


def package(name: str, version: str = "1.0", more: str = "") -> str:
    """One [[package]]."""
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\nsummary = ""\n{more}\n'


def needs(*dependencies: str) -> str:
    return f"dependencies = {list(dependencies)}"


def lock(*packages: str, version: str = "4.5.0", strategy: str = "", more: str = "") -> str:
    listed = f'"{strategy}"' if strategy else ""
    return f'[metadata]\nlock_version = "{version}"\nstrategy = [{listed}]\n{more}\n' + "\n".join(packages)


def marked(*packages: str, more: str = "") -> str:
    """A lock whose entries carry groups and markers."""
    return lock(*packages, strategy="inherit_metadata", more=more)


def select(
    directory: Path, text: str, wanted: Wanted = PLAIN, pyproject: str = "", here: Environment | None = None
) -> tuple[Pin, ...]:
    if pyproject:
        write(directory, "pyproject.toml", pyproject)
    return pdm.read(write(directory, "pdm.lock", text)).select(here or linux(), wanted)


def code(*arguments: object, **options: object) -> str:
    with pytest.raises(SprawlError) as caught:
        select(*arguments, **options)  # type: ignore[arg-type]
    assert str(arguments[0]) in caught.value.message
    return caught.value.code


class TestVersions:
    @pytest.mark.parametrize("version", ["2", "3.1", "4.2", "4.5.1", "4.5.9"])
    def test_versions_that_are_read(self, tmp_path: Path, version: str) -> None:
        found = pdm.read(write(tmp_path, "pdm.lock", lock(version=version)))
        assert found.format == f"pdm {version}"

    @pytest.mark.parametrize("version", ["4.6", "5.0", "1.0", "999"])
    def test_other_versions_are_refused_with_the_remedy(self, tmp_path: Path, version: str) -> None:
        with pytest.raises(LockError) as caught:
            select(tmp_path, lock(version=version))
        assert caught.value.code == "lock.unsupported"
        assert "pdm lock" in caught.value.hint

    def test_the_shape_of_2020_has_no_version(self, tmp_path: Path) -> None:
        assert code(tmp_path, "[metadata]\n[root]\n") == "lock.unsupported"

    @pytest.mark.parametrize("version", ["four", "4.x", "4.5.0.0.1"])
    def test_a_version_that_is_none(self, tmp_path: Path, version: str) -> None:
        assert code(tmp_path, lock(version=version)) == "lock.invalid"


class TestMarked:
    """With the strategy `inherit_metadata` groups and markers stand in the entry."""

    PROJECT = (
        '[project]\nname = "app"\nrequires-python = ">=3.9"\n[project.optional-dependencies]\nCLI = []\n'
        "[dependency-groups]\ntest = []\n[tool.pdm.dev-dependencies]\nlint = []\n"
    )
    GROUPS = 'groups = ["default", "cli", "test", "lint", "former"]'
    LOCK = marked(
        package("a", more='groups = ["default"]'),
        package("b", more='groups = ["cli"]'),
        package("c", more='groups = ["test"]'),
        package("d", more='groups = ["lint"]\nmarker = "sys_platform == \'win32\'"'),
        package("e", more='groups = ["former"]'),
        package("f", more="groups = []"),
        more=GROUPS,
    )

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (PLAIN, "acdf"),
            (Wanted(no_dev=True), "af"),
            (Wanted(no_dev=True, groups=("test",)), "acf"),
            (Wanted(extras=("cli",)), "abcdf"),
            (Wanted(groups=("CLI",)), "abcdf"),
            (Wanted(all_extras=True), "abcdf"),
            (Wanted(all_groups=True), "abcdf"),
            (Wanted(only_groups=("test",)), "cf"),
            (Wanted(no_groups=("lint",)), "acf"),
        ],
    )
    def test_groups(self, tmp_path: Path, wanted: Wanted, expected: str) -> None:
        found = select(tmp_path, self.LOCK, wanted, self.PROJECT, windows())
        assert "".join(pin.name for pin in found) == expected

    def test_markers(self, tmp_path: Path) -> None:
        assert names(select(tmp_path, self.LOCK, Wanted(only_groups=("lint",)), self.PROJECT)) == ["f==1.0"]

    def test_unknown_names(self, tmp_path: Path) -> None:
        assert code(tmp_path, self.LOCK, Wanted(extras=("test",)), self.PROJECT) == "select.unknown-extra"
        # A group that only the lock knows was removed from the project.
        assert code(tmp_path, self.LOCK, Wanted(groups=("former",)), self.PROJECT) == "select.unknown-group"

    def test_without_a_project_file(self, tmp_path: Path) -> None:
        text = marked(
            package("a", more='groups = ["default"]'),
            package("b", more='groups = ["dev"]'),
            package("c", more='groups = ["x"]'),
            more='groups = ["default", "dev", "x"]',
        )
        assert names(select(tmp_path, text)) == ["a==1.0", "b==1.0"]
        assert len(select(tmp_path, text, Wanted(extras=("x",)))) == 3

    def test_an_extra_is_an_entry_of_its_own(self, tmp_path: Path) -> None:
        extra = package("a", more='extras = ["x"]\ngroups = ["default"]\n' + needs("a==1.0", "b"))
        pins = select(tmp_path, marked(extra, package("a", more=WHEEL), package("b")))
        assert names(pins) == ["a==1.0", "b==1.0"]
        assert len(pins[0].artifacts) == 1
        assert pins[1].via == ("a",)
        assert names(select(tmp_path, marked(extra))) == ["a==1.0"]

    def test_several_versions(self, tmp_path: Path) -> None:
        old = package("a", "1.0", "marker = \"python_version < '3.11'\"")
        new = package("a", "2.0", "marker = \"python_version >= '3.11'\"")
        assert names(select(tmp_path, marked(old, new))) == ["a==2.0"]
        assert names(select(tmp_path, marked(old, new), here=linux("3.10.1"))) == ["a==1.0"]
        assert code(tmp_path, marked(package("a", "1.0"), new)) == "lock.duplicate-package"

    def test_excluded_packages(self, tmp_path: Path) -> None:
        project = '[tool.pdm.resolution]\nexcludes = ["A"]\n'
        assert names(select(tmp_path, marked(package("a"), package("b")), PLAIN, project)) == ["b==1.0"]

    def test_requires_python(self, tmp_path: Path) -> None:
        assert code(tmp_path, self.LOCK, PLAIN, self.PROJECT, linux("3.8.1")) == "select.requires-python"


class TestTargets:
    TARGETS = (
        '[[metadata.targets]]\nrequires_python = ">=3.11"\nplatform = "manylinux_2_28_x86_64"\n'
        'implementation = "cpython"\n[[metadata.targets]]\nrequires_python = ">=3.11"\nplatform = "windows"\n'
    )

    def test_the_lock_is_valid_where_it_was_made_for(self, tmp_path: Path) -> None:
        text = marked(package("a"), more=self.TARGETS)
        for here in (linux(), windows()):
            assert names(select(tmp_path, text, here=here)) == ["a==1.0"]
        assert code(tmp_path, text, here=macos()) == "select.unsupported-environment"
        assert code(tmp_path, text, here=linux("3.10.1")) == "select.requires-python"

    def test_implementations_and_unknown_platforms(self, tmp_path: Path) -> None:
        pypy = '[[metadata.targets]]\nimplementation = "pypy"\n'
        assert code(tmp_path, marked(package("a"), more=pypy)) == "select.unsupported-environment"
        odd = '[[metadata.targets]]\nplatform = "amiga"\n'
        assert code(tmp_path, marked(package("a"), more=odd)) == "lock.invalid"

    @pytest.mark.parametrize("platform", ["macos", "macos_arm64", "macos_14_0_arm64"])
    def test_names_of_a_platform(self, tmp_path: Path, platform: str) -> None:
        text = marked(package("a"), more=f'[[metadata.targets]]\nplatform = "{platform}"\n')
        assert names(select(tmp_path, text, here=macos())) == ["a==1.0"]


class TestWalk:
    """Without the strategy the requirements of the project are walked."""

    def walk(self, directory: Path, *packages: str, project: str, **options: object) -> list[str]:
        wanted, here = options.get("wanted", PLAIN), options.get("here")
        assert isinstance(wanted, Wanted)
        assert here is None or isinstance(here, Environment)
        pyproject = f'[project]\nname = "app"\n{project}\n'
        return names(select(directory, lock(*packages), wanted, pyproject, here))

    def test_requirements_and_their_markers(self, tmp_path: Path) -> None:
        packages = [
            package("a", more=needs("B>=1", "c; sys_platform == 'win32'")),
            package("b"),
            package("c"),
        ]
        project = 'dependencies = ["A~=1.0"]'
        assert self.walk(tmp_path, *packages, project=project) == ["a==1.0", "b==1.0"]
        everywhere = self.walk(tmp_path, *packages, project=project, here=windows())
        assert everywhere == ["a==1.0", "b==1.0", "c==1.0"]

    def test_groups(self, tmp_path: Path) -> None:
        packages = [package(name) for name in "abcd"]
        project = (
            'dependencies = ["a"]\n[project.optional-dependencies]\nx = ["app[y]"]\ny = ["b"]\n'
            '[dependency-groups]\ntest = ["c", {include-group = "more"}]\nmore = ["d"]\n'
        )
        assert self.walk(tmp_path, *packages, project=project) == ["a==1.0", "c==1.0", "d==1.0"]
        wanted = Wanted(no_dev=True, extras=("x",))
        assert self.walk(tmp_path, *packages, project=project, wanted=wanted) == ["a==1.0", "b==1.0"]

    def test_groups_that_are_not_recorded_were_the_default(self, tmp_path: Path) -> None:
        project = 'dependencies = ["a"]\n[project.optional-dependencies]\nx = ["gone"]\n'
        wanted = Wanted(all_groups=True)
        assert self.walk(tmp_path, package("a"), project=project, wanted=wanted) == ["a==1.0"]

    def test_entries_for_extras(self, tmp_path: Path) -> None:
        packages = [
            package("a", more=needs("b")),
            package("a", more='extras = ["x", "y"]\n' + needs("a==1.0", "c")),
            package("a", more='extras = ["z"]\n' + needs("a==1.0", "d")),
            *(package(name) for name in "bcd"),
        ]
        assert self.walk(tmp_path, *packages, project='dependencies = ["a[y,x]"]') == [
            "a==1.0",
            "b==1.0",
            "c==1.0",
        ]
        # No entry for both: the one for x and y does not cover x alone, the bare package does.
        assert self.walk(tmp_path, *packages, project='dependencies = ["a[x]"]') == ["a==1.0", "b==1.0"]
        assert self.walk(tmp_path, *packages, project='dependencies = ["a[z]"]') == [
            "a==1.0",
            "b==1.0",
            "d==1.0",
        ]

    def test_versions_by_requirements_and_python(self, tmp_path: Path) -> None:
        packages = [
            package("a", "1.0"),
            package("a", "2.0", 'requires_python = ">=3.5.*"'),
            package("a", "3.0", 'requires_python = ">=3.13"'),
        ]
        assert self.walk(tmp_path, *packages, project='dependencies = ["a>=0.*"]') == ["a==2.0"]
        assert self.walk(tmp_path, *packages, project='dependencies = ["a<2"]') == ["a==1.0"]
        with pytest.raises(LockError) as caught:
            self.walk(tmp_path, *packages, project='dependencies = ["a>2"]')
        assert caught.value.code == "lock.stale"

    def test_overrides_and_excludes(self, tmp_path: Path) -> None:
        packages = [package("a", more=needs("b>=2", "c")), package("b"), package("c")]
        project = 'dependencies = ["a"]\n[tool.pdm.resolution]\nexcludes = ["c"]\noverrides = {b = "1.0"}\n'
        assert self.walk(tmp_path, *packages, project=project) == ["a==1.0", "b==1.0"]

    def test_editable_requirements_of_a_group(self, tmp_path: Path) -> None:
        project = (
            "dependencies = []\n[tool.pdm.dev-dependencies]\n"
            'dev = ["-e file:///${PROJECT_ROOT}/sub#egg=sub", "b @ file:///${PROJECT_ROOT}/b"]\n'
        )
        packages = [package("sub", more='path = "./sub"\neditable = true'), package("b", more='path = "./b"')]
        assert self.walk(tmp_path, *packages, project=project) == ["b==1.0", "sub==1.0"]

    @pytest.mark.parametrize(
        "project",
        [
            'dependencies = ["gone"]',
            'dependencies = ["not a requirement"]',
            "dependencies = []\n[dependency-groups]\ndev = [{include-group = 'gone'}]",
        ],
    )
    def test_a_lock_that_does_not_fit(self, tmp_path: Path, project: str) -> None:
        with pytest.raises(LockError) as caught:
            self.walk(tmp_path, package("a"), project=project)
        assert caught.value.code == "lock.stale"

    def test_the_project_itself_may_be_missing_and_its_file_may_not(self, tmp_path: Path) -> None:
        assert self.walk(tmp_path, package("a", more=needs("app")), project='dependencies = ["a"]') == [
            "a==1.0"
        ]
        (tmp_path / "pyproject.toml").unlink()
        assert code(tmp_path, lock(package("a"))) == "lock.stale"


class TestFilesAndSources:
    def pin(self, directory: Path, more: str, metadata: str = "", pyproject: str = "") -> Pin:
        (pin,) = select(directory, marked(package("a", more=more), more=metadata), PLAIN, pyproject)
        return pin

    def test_names_or_urls(self, tmp_path: Path) -> None:
        pin = self.pin(tmp_path, WHEEL)
        assert (pin.artifacts[0].filename, pin.artifacts[0].url) == ("a-1.0-py3-none-any.whl", None)
        url = f"{FILES}/a-1.0.tar.gz"
        pin = self.pin(tmp_path, f'files = [{{url = "{url}#x", hash = "sha256:{DIGEST}"}}]')
        assert (pin.artifacts[0].filename, pin.artifacts[0].url) == ("a-1.0.tar.gz", url)
        assert pin.artifacts[0].hashes[0].value == DIGEST

    def test_files_of_old_locks_stand_in_the_metadata(self, tmp_path: Path) -> None:
        files = f'[metadata.files]\n"a 1.0" = [{{url = "{FILES}/a-1.0.tar.gz", hash = "sha256:{DIGEST}"}}]'
        assert self.pin(tmp_path, "", files).artifacts[0].filename == "a-1.0.tar.gz"

    def test_indexes_of_the_project(self, tmp_path: Path) -> None:
        sources = (
            f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{INDEX}"\n'
            '[[tool.pdm.source]]\nname = "b"\nurl = "https://${USER}:${TOKEN}@b.example.org/simple"\n'
            '[[tool.pdm.source]]\nname = "c"\ntype = "find_links"\nurl = "https://c.example.org"\n'
        )
        source = self.pin(tmp_path, WHEEL, pyproject=sources).source
        assert (source.index, source.extra_indexes) == (INDEX, ("https://b.example.org/simple",))

    def test_an_index_url_cannot_carry_a_variable(self, tmp_path: Path) -> None:
        source = '[[tool.pdm.source]]\nname = "b"\nurl = "https://b.example.org/${SECRET}"\n'
        assert code(tmp_path, marked(), PLAIN, source) == "lock.url-refused"

    def test_git(self, tmp_path: Path) -> None:
        more = f'git = "https://host/a.git"\nref = "main"\nrevision = "{COMMIT}"\nsubdirectory = "py"'
        source = self.pin(tmp_path, more).source
        assert (source.kind, source.url, source.reference) == ("git", "https://host/a.git", "main")
        assert (source.commit, source.subdirectory) == (COMMIT, "py")

    def test_local_places(self, tmp_path: Path) -> None:
        assert self.pin(tmp_path, 'path = "./a"').source.path == tmp_path / "a"
        source = self.pin(tmp_path, 'url = "file:///${PROJECT_ROOT}/a"\neditable = true').source
        assert (source.kind, source.path) == ("editable", tmp_path / "a")
        pin = self.pin(tmp_path, 'path = "./a-1.0-py3-none-any.whl"\n' + WHEEL)
        assert (pin.source.kind, pin.artifacts[0].path) == ("path", tmp_path / "a-1.0-py3-none-any.whl")
        assert pin.artifacts[0].hashes[0].value == DIGEST

    def test_a_url(self, tmp_path: Path) -> None:
        pin = self.pin(tmp_path, f'url = "{FILES}/a-1.0-py3-none-any.whl"\n{WHEEL}')
        assert (pin.source.kind, pin.artifacts[0].url) == ("url", f"{FILES}/a-1.0-py3-none-any.whl")

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ('files = [{file = "b-1.0-py3-none-any.whl", hash = "md5:x"}]', "lock.invalid"),
            (f'files = [{{file = "b-1.0.tar.gz", hash = "sha256:{DIGEST}"}}]', "lock.filename-mismatch"),
            (f'files = [{{url = "ftp://h/a-1.0.tar.gz", hash = "sha256:{DIGEST}"}}]', "lock.url-refused"),
            ('git = "https://host/a.git"', "lock.invalid"),
            ('git = "https://host/a.git"\nrevision = "--option"', "lock.invalid"),
            ('hg = "https://host/a"', "lock.unsupported"),
            ('url = "file://host/share/a"', "lock.url-refused"),
            ("marker = 'nonsense'", "lock.invalid"),
            ("files = 3", "lock.invalid"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, more: str, expected: str) -> None:
        assert code(tmp_path, marked(package("a", more=more))) == expected


def test_names_and_numbers_of_a_hostile_lock(tmp_path: Path) -> None:
    assert code(tmp_path, marked(package("a\\u001b[31m"))) == "lock.invalid"
    assert code(tmp_path, marked(*(package("a", f"1.{number}") for number in range(1001)))) == "lock.invalid"


def test_the_project_is_told(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", '[project]\nname = "App"\nversion = {use_scm = true}\n')
    found = pdm.read(write(tmp_path, "pdm.lock", lock()))
    assert (found.project.name, found.project.version) == ("app", None)
    assert found.inputs == (tmp_path / "pdm.lock", tmp_path / "pyproject.toml")
