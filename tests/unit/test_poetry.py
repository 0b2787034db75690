from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import LockError
from sprawld.lockfiles import poetry
from sprawld.model import Hash, Pin, Wanted
from tests.support.locks import DIGEST, INDEX, PLAIN, linux, names, windows, write
from tests.support.poetry_locks import FILES, code, lock, needs, package, select


class TestVersions:
    def test_each_version_is_named(self, tmp_path: Path) -> None:
        for version, expected in [
            ("", "poetry without version"),
            ("1.1", "poetry 1.1"),
            ("2.1", "poetry 2.1"),
        ]:
            path = write(tmp_path, "poetry.lock", lock(version=version))
            assert poetry.read(path).format == expected

    def test_a_later_minor_version_is_read_with_a_warning(self, tmp_path: Path) -> None:
        found = poetry.read(
            write(tmp_path, "poetry.lock", lock(package("a", more='groups = ["main"]'), version="2.7"))
        )
        assert names(found.select(linux(), PLAIN)) == ["a==1.0"]
        assert found.warnings

    @pytest.mark.parametrize("version", ["3.0", "0.9", "999"])
    def test_other_versions_are_refused_with_the_remedy(self, tmp_path: Path, version: str) -> None:
        with pytest.raises(LockError) as caught:
            select(tmp_path, lock(version=version))
        assert caught.value.code == "lock.unsupported"
        assert "poetry lock" in caught.value.hint

    @pytest.mark.parametrize("version", ["two", "2.x", "", "²"])
    def test_a_version_that_is_none(self, tmp_path: Path, version: str) -> None:
        text = lock(version="2.1").replace('"2.1"', f'"{version}"')
        assert code(select, tmp_path, text) == "lock.invalid"

    def test_metadata_is_needed(self, tmp_path: Path) -> None:
        assert code(select, tmp_path, package("a")) == "lock.invalid"


class TestMarked:
    """Version 2.1: groups and markers stand in the package."""

    def test_groups_and_markers(self, tmp_path: Path) -> None:
        text = lock(
            package("a", more='groups = ["main"]'),
            package("b", more='groups = ["dev"]'),
            package("c", more='groups = ["main"]\nmarkers = "sys_platform == \'win32\'"'),
            package("d", more='groups = ["docs"]'),
        )
        project = (
            '[tool.poetry.group.dev.dependencies]\nb = "*"\n'
            '[tool.poetry.group.docs]\noptional = true\n[tool.poetry.group.docs.dependencies]\nd = "*"\n'
        )
        assert names(select(tmp_path, text, PLAIN, project)) == ["a==1.0", "b==1.0"]
        assert names(select(tmp_path, text, Wanted(no_dev=True))) == ["a==1.0"]
        assert names(select(tmp_path, text, Wanted(groups=("docs",)))) == ["a==1.0", "b==1.0", "d==1.0"]
        assert names(select(tmp_path, text, Wanted(only_groups=("Docs",)))) == ["d==1.0"]
        assert names(select(tmp_path, text, Wanted(no_groups=("dev",)), here=windows())) == [
            "a==1.0",
            "c==1.0",
        ]
        assert len(select(tmp_path, text, Wanted(all_groups=True))) == 3

    def test_a_group_missing_in_the_markers_table_means_always(self, tmp_path: Path) -> None:
        markers = "markers = {main = \"python_version < '3'\"}"
        text = lock(package("a", more=f'groups = ["main", "dev"]\n{markers}'))
        project = '[tool.poetry.group.dev.dependencies]\na = "*"\n'
        assert names(select(tmp_path, text, PLAIN, project)) == ["a==1.0"]
        assert names(select(tmp_path, text, Wanted(no_dev=True))) == []

    def test_extras_are_a_set(self, tmp_path: Path) -> None:
        text = lock(
            package("both", more="groups = [\"main\"]\nmarkers = \"extra == 'x' and extra == 'y'\""),
            package("without", more='groups = ["main"]\nmarkers = "extra != \'x\'"'),
            extras='x = ["both"]\n"Y" = ["both"]',
        )
        assert names(select(tmp_path, text)) == ["without==1.0"]
        assert names(select(tmp_path, text, Wanted(extras=("x", "y")))) == ["both==1.0"]
        assert names(select(tmp_path, text, Wanted(all_extras=True))) == ["both==1.0"]

    def test_several_versions(self, tmp_path: Path) -> None:
        forks = [
            package("a", "1.0", more='groups = ["main"]\nmarkers = "python_version < \'3.11\'"'),
            package("a", "2.0", more='groups = ["main"]\nmarkers = "python_version >= \'3.11\'"'),
        ]
        assert names(select(tmp_path, lock(*forks))) == ["a==2.0"]
        assert names(select(tmp_path, lock(*forks), here=linux("3.10.1"))) == ["a==1.0"]
        overlapping = forks[0].replace("< '3.11'", ">= '3'")
        assert code(select, tmp_path, lock(overlapping, forks[1])) == "lock.duplicate-package"

    def test_unknown_extras_and_groups(self, tmp_path: Path) -> None:
        text = lock(package("a", more='groups = ["main"]'))
        assert code(select, tmp_path, text, Wanted(extras=("x",))) == "select.unknown-extra"
        for wanted in (Wanted(groups=("x",)), Wanted(only_groups=("x",)), Wanted(no_groups=("x",))):
            assert code(select, tmp_path, text, wanted) == "select.unknown-group"

    def test_without_a_project_file_all_recorded_groups_are_taken(self, tmp_path: Path) -> None:
        text = lock(package("a", more='groups = ["docs"]'))
        assert names(select(tmp_path, text)) == ["a==1.0"]
        assert names(select(tmp_path, text, Wanted(no_dev=True))) == []

    def test_python_is_checked_by_its_release(self, tmp_path: Path) -> None:
        text = lock(package("a", more='groups = ["main"]'), python="^3.9,<3.12.1 || ~2.7")
        assert names(select(tmp_path, text, here=linux("3.12.0"))) == ["a==1.0"]
        assert code(select, tmp_path, text, here=linux("3.12.1")) == "select.requires-python"

    def test_what_brought_it_in(self, tmp_path: Path) -> None:
        text = lock(
            package("a", more='groups = ["main"]\n' + needs(b='"*"')), package("b", more='groups = ["main"]')
        )
        assert [pin.via for pin in select(tmp_path, text)] == [("main",), ("a",)]


class TestFiles:
    def pin(self, directory: Path, *packages: str, version: str = "2.1", more: str = "") -> Pin:
        roots = '[tool.poetry.dependencies]\na = "*"\n' if version != "2.1" else ""
        (pin,) = select(directory, lock(*packages, version=version, more=more), PLAIN, roots)
        return pin

    def test_files_have_names_and_hashes_but_no_urls(self, tmp_path: Path) -> None:
        pin = self.pin(tmp_path, package("a", more='groups = ["main"]'))
        (found,) = pin.artifacts
        assert found.filename == "a-1.0-py3-none-any.whl"
        assert (found.url, found.path) == (None, None)
        assert found.hashes == (Hash(algorithm="sha256", value=DIGEST),)
        assert (pin.source.kind, pin.source.index) == ("registry", None)

    def test_files_of_1_1_stand_under_the_pretty_name_for_all_versions(self, tmp_path: Path) -> None:
        items = ", ".join(
            f'{{file = "A-{version}.tar.gz", hash = "sha256:{DIGEST}"}}' for version in ("1.0", "2.0")
        )
        pin = self.pin(
            tmp_path, package("A", files=""), version="1.1", more=f"[metadata.files]\nA = [{items}]"
        )
        assert [file.filename for file in pin.artifacts] == ["A-1.0.tar.gz"]

    def test_files_of_other_versions_only(self, tmp_path: Path) -> None:
        more = f'[metadata.files]\na = [{{file = "a-2.0.tar.gz", hash = "sha256:{DIGEST}"}}]'
        assert (
            code(self.pin, tmp_path, package("a", files=""), version="1.1", more=more)
            == "lock.filename-mismatch"
        )

    def test_hashes_of_2018_have_neither_name_nor_algorithm(self, tmp_path: Path) -> None:
        pin = self.pin(
            tmp_path, package("a", files=""), version="", more=f'[metadata.hashes]\na = ["{DIGEST}"]'
        )
        assert pin.artifacts == ()
        assert pin.hashes == (Hash(algorithm="sha256", value=DIGEST),)

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("b-1.0-py3-none-any.whl", "lock.filename-mismatch"),
            ("a-2.0-py3-none-any.whl", "lock.filename-mismatch"),
            ("../a-1.0-py3-none-any.whl", "lock.filename-mismatch"),
        ],
    )
    def test_files_of_other_packages(self, tmp_path: Path, file: str, expected: str) -> None:
        files = f'files = [{{file = "{file}", hash = "sha256:{DIGEST}"}}]'
        assert code(self.pin, tmp_path, package("a", files=files, more='groups = ["main"]')) == expected

    def test_hashes_are_checked(self, tmp_path: Path) -> None:
        files = 'files = [{file = "a-1.0.tar.gz", hash = "sha256:xyz"}]'
        assert code(self.pin, tmp_path, package("a", files=files, more='groups = ["main"]')) == "lock.invalid"


class TestSources:
    def pin(self, directory: Path, source: str, files: str = "files = []", more: str = "") -> Pin:
        text = package("a", files=files, more=f'groups = ["main"]\n{more}\n[package.source]\n{source}')
        (pin,) = select(directory, lock(text))
        return pin

    def test_legacy_is_an_index(self, tmp_path: Path) -> None:
        pin = self.pin(tmp_path, f'type = "legacy"\nurl = "{INDEX}"\nreference = "private"')
        assert (pin.source.kind, pin.source.index) == ("registry", INDEX)

    def test_git(self, tmp_path: Path) -> None:
        commit = "0123456789" * 4
        where = (
            f'type = "git"\nurl = "https://host/a.git"\nreference = "main"\nresolved_reference = "{commit}"\n'
        )
        source = self.pin(tmp_path, where + 'subdirectory = "py"').source
        assert (source.kind, source.url, source.reference) == ("git", "https://host/a.git", "main")
        assert (source.commit, source.subdirectory) == (commit, "py")
        local = self.pin(tmp_path, where.replace("https://host/a.git", "file://None/srv/a")).source
        assert (local.kind, local.path, local.commit) == ("git", Path("/srv/a"), commit)

    def test_a_directory_relative_to_the_lock(self, tmp_path: Path) -> None:
        where = 'type = "directory"\nurl = "../sibling"'
        assert self.pin(tmp_path, where).source.kind == "directory"
        source = self.pin(tmp_path, where, more="develop = true").source
        assert (source.kind, source.path) == ("editable", tmp_path / "../sibling")

    def test_a_file(self, tmp_path: Path) -> None:
        files = FILES.format(name="a", version="1.0")
        pin = self.pin(tmp_path, 'type = "file"\nurl = "wheels/a-1.0-py3-none-any.whl"', files)
        assert pin.source.kind == "path"
        assert pin.artifacts[0].path == tmp_path / "wheels/a-1.0-py3-none-any.whl"
        assert pin.artifacts[0].hashes[0].value == DIGEST

    def test_a_url(self, tmp_path: Path) -> None:
        files = FILES.format(name="a", version="1.0")
        pin = self.pin(tmp_path, 'type = "url"\nurl = "https://host/a-1.0-py3-none-any.whl"', files)
        assert pin.source.kind == "url"
        assert pin.artifacts[0].url == "https://host/a-1.0-py3-none-any.whl"
        assert pin.artifacts[0].hashes[0].value == DIGEST

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ('type = "legacy"\nurl = "file:///etc"', "lock.url-refused"),
            ('type = "url"\nurl = "ftp://host/a-1.0.tar.gz"', "lock.url-refused"),
            ('type = "git"\nurl = "ext::sh"\nresolved_reference = "' + "0" * 40 + '"', "lock.url-refused"),
            ('type = "git"\nurl = "https://h/a"\nresolved_reference = "--upload-pack=x"', "lock.invalid"),
            ('type = "git"\nurl = "https://h/a"', "lock.invalid"),
            ('type = "hg"\nurl = "https://h/a"', "lock.unsupported"),
            ('type = "url"\nurl = "https://host/b-1.0-py3-none-any.whl"', "lock.filename-mismatch"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, source: str, expected: str) -> None:
        assert code(self.pin, tmp_path, source) == expected


def test_the_project_is_told_and_its_file_is_an_input(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", '[tool.poetry]\nname = "My.App"\nversion = "2"\n')
    found = poetry.read(write(tmp_path, "poetry.lock", lock()))
    assert (found.project.root, found.project.name, found.project.version) == (tmp_path, "my-app", "2")
    assert found.inputs == (tmp_path / "poetry.lock", tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    "text",
    [
        lock(package("a\\u001b[31m")),
        lock(package("a", "one")),
        lock(package("a", more='markers = "nonsense"')),
        lock(package("a", more="markers = 3")),
        lock(package("a", more="markers = {main = 3}")),
        lock(package("a", more='groups = "main"')),
        lock(package("a", more='markers = "' + " or ".join(["os_name == 'x'"] * 5000) + '"')),
        lock(*(package("a", f"1.{number}") for number in range(1001))),
        "package = 3\n" + lock(),
        lock(extras="x = 3"),
    ],
)
def test_what_is_not_a_lock_is_refused(tmp_path: Path, text: str) -> None:
    assert code(select, tmp_path, text) == "lock.invalid"


def test_the_project_file_is_named_when_it_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[tool.poetry.dependencies]\na = 3\n")
    with pytest.raises(LockError) as caught:
        poetry.read(write(tmp_path, "poetry.lock", lock(package("a"))))
    assert caught.value.code == "lock.invalid"
    assert "pyproject.toml" in caught.value.message
