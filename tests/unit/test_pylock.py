from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sprawld.errors import LockError, SelectionError
from sprawld.lockfiles import pylock
from sprawld.lockfiles.choose import choose
from sprawld.model import Environment, Pin, Wanted
from tests.support.locks import DIGEST, FILES, INDEX, PLAIN, linux, names, windows, write

HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'
HASHES = f'hashes = {{ sha256 = "{DIGEST}" }}'


def entry(name: str, version: str = "1.0", *, more: str = "", wheel: str = "py3-none-any") -> str:
    filename = f"{name}-{version}-{wheel}.whl"
    return (
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}\n'
        f'wheels = [{{ name = "{filename}", url = "{FILES}/{filename}", {HASHES} }}]\n'
    )


def tree(name: str, table: str) -> str:
    return f'[[packages]]\nname = "{name}"\n{table}\n'


def read(directory: Path, *entries: str, head: str = "") -> pylock.PylockLock:
    return pylock.read(write(directory, "pylock.toml", HEAD + head + "\n" + "\n".join(entries)))


def select(
    directory: Path, *entries: str, head: str = "", wanted: Wanted = PLAIN, here: Environment | None = None
) -> tuple[Pin, ...]:
    return read(directory, *entries, head=head).select(here or linux(), wanted)


def code_of(directory: Path, *entries: str, head: str = "", wanted: Wanted = PLAIN) -> str:
    with pytest.raises((LockError, SelectionError)) as caught:
        select(directory, *entries, head=head, wanted=wanted)
    assert caught.value.message.startswith(f"{directory}/pylock.toml: ")
    return caught.value.code


class TestSelection:
    def test_markers_decide(self, tmp_path: Path) -> None:
        entries = (
            entry("b", more="marker = \"sys_platform == 'win32'\""),
            entry("a", more=f'index = "{INDEX}"'),
        )
        assert names(select(tmp_path, *entries)) == ["a==1.0"]
        assert names(select(tmp_path, *entries, here=windows())) == ["a==1.0", "b==1.0"]
        (found,) = select(tmp_path, *entries)
        assert (found.source.kind, found.source.index) == ("registry", INDEX)
        assert found.artifacts[0].hashes[0].value == DIGEST

    def test_two_versions_for_two_pythons(self, tmp_path: Path) -> None:
        entries = (
            entry("a", "1.0", more="marker = \"python_full_version < '3.12'\""),
            entry("a", "2.0", more="marker = \"python_full_version >= '3.12'\""),
        )
        assert names(select(tmp_path, *entries)) == ["a==2.0"]
        assert names(select(tmp_path, *entries, here=linux("3.11.7"))) == ["a==1.0"]
        early = dataclasses.replace(
            linux("3.12.0"), markers={**linux("3.12.0").markers, "python_full_version": "3.12.0rc1"}
        )
        assert names(select(tmp_path, *entries, here=early)) == ["a==2.0"]
        assert code_of(tmp_path, entry("a"), entry("a", "2.0")) == "lock.duplicate-package"

    def test_python_and_environments(self, tmp_path: Path) -> None:
        assert code_of(tmp_path, entry("a"), head='requires-python = ">=3.13"') == "select.requires-python"
        assert code_of(tmp_path, entry("a", more='requires-python = ">=3.13"')) == "select.requires-python"
        elsewhere = "environments = [\"sys_platform == 'darwin'\"]"
        assert code_of(tmp_path, entry("a"), head=elsewhere) == "select.unsupported-environment"
        assert names(select(tmp_path, entry("a"), head="environments = []")) == ["a==1.0"]

    def test_extras_and_groups(self, tmp_path: Path) -> None:
        groups = 'dependency-groups = ["default", "dev", "docs"]\ndefault-groups = ["default", "dev"]'
        head = f'extras = ["x"]\n{groups}'
        entries = [
            entry("a", more="marker = \"'default' in dependency_groups\""),
            entry("b", more="marker = \"'dev' in dependency_groups\""),
            entry("c", more="marker = \"'docs' in dependency_groups or 'x' in extras\""),
        ]

        def found(wanted: Wanted) -> str:
            return " ".join(pin.name for pin in select(tmp_path, *entries, head=head, wanted=wanted))

        assert found(PLAIN) == "a b"
        assert found(Wanted(groups=("docs",))) == "a b c"
        assert found(Wanted(extras=("x",))) == "a b c"
        assert found(Wanted(all_extras=True, no_dev=True)) == "a c"
        assert found(Wanted(all_groups=True, no_groups=("dev",))) == "a c"
        assert found(Wanted(only_groups=("dev",))) == "b"
        assert code_of(tmp_path, *entries, head=head, wanted=Wanted(extras=("y",))) == "select.unknown-extra"
        assert code_of(tmp_path, *entries, head=head, wanted=Wanted(groups=("y",))) == "select.unknown-group"


class TestSources:
    def test_trees_and_archives(self, tmp_path: Path) -> None:
        commit = "1" * 40
        pins = select(
            tmp_path,
            tree("app", 'directory = { path = ".", editable = true }'),
            tree("g", f'vcs = {{ type = "git", url = "https://example.org/g", commit-id = "{commit}" }}'),
            tree("u", f'archive = {{ url = "{FILES}/u-1.0-py3-none-any.whl", {HASHES} }}'),
            tree("z", f'archive = {{ url = "{FILES}/main.zip", {HASHES}, subdirectory = "src" }}'),
        )
        assert [pin.source.kind for pin in pins] == ["editable", "git", "url", "url"]
        assert (pins[0].source.path, pins[1].source.commit) == (tmp_path, commit)
        # An archive may be a wheel: its name tells.
        assert [choose(pin, linux(), hashed=True).kind for pin in pins] == [
            "editable",
            "git",
            "wheel",
            "sdist",
        ]

    def test_a_path_is_preferred_to_a_file_url_beside_it(self, tmp_path: Path) -> None:
        places = (
            'url = "file:///${PROJECT_ROOT}/wh/t-1.0-py3-none-any.whl", path = "./wh/t-1.0-py3-none-any.whl"'
        )
        (found,) = select(tmp_path, tree("t", f"archive = {{ {places}, {HASHES} }}"))
        assert found.artifacts[0].path == tmp_path / "wh/t-1.0-py3-none-any.whl"

    def test_a_local_index(self, tmp_path: Path) -> None:
        filename = "a-1.0-py3-none-any.whl"
        wheel = f'wheels = [{{ path = "wh/{filename}", {HASHES} }}]'
        (found,) = select(tmp_path, tree("a", f'version = "1.0"\nindex = "file:///srv/wh"\n{wheel}'))
        assert (found.source.path, found.artifacts[0].filename) == (Path("/srv/wh"), filename)

    @pytest.mark.parametrize(
        ("url", "path"),
        [("file:///srv/a%20b", "/srv/a b"), ("FILE:wh", "wh"), ("file://localhost/wh", "/wh")],
    )
    def test_a_file_of_a_local_index_by_its_url(self, tmp_path: Path, url: str, path: str) -> None:
        filename = "a-1.0-py3-none-any.whl"
        wheel = f'wheels = [{{ name = "{filename}", url = "{url}/{filename}", {HASHES} }}]'
        (found,) = select(tmp_path, tree("a", f'version = "1.0"\n{wheel}'))
        assert (found.artifacts[0].url, found.artifacts[0].path) == (None, tmp_path / path / filename)

    def test_the_project_comes_from_the_lock_or_the_project_file(self, tmp_path: Path) -> None:
        root = tree("app", 'directory = { path = "." }')
        assert read(tmp_path, root).project.name == "app"
        write(tmp_path, "pyproject.toml", '[project]\nname = "Other"\nversion = "3"\n')
        assert (read(tmp_path, root).project.name, read(tmp_path, root).project.version) == ("other", "3")

    @pytest.mark.parametrize(
        ("table", "code"),
        [
            ('vcs = { type = "hg", url = "https://example.org/g", commit-id = "1" }', "lock.unsupported"),
            ('vcs = { type = "git", url = "https://example.org/g", commit-id = "--x" }', "lock.invalid"),
            ('vcs = { type = "git", url = "ext::sh", commit-id = "1" }', "lock.url-refused"),
            (f'archive = {{ url = "file://host/share/g.zip", {HASHES} }}', "lock.url-refused"),
            (
                f'archive = {{ url = "file:///wh/other-1.0-py3-none-any.whl", {HASHES} }}',
                "lock.filename-mismatch",
            ),
            (
                f'archive = {{ url = "{FILES}/other-1.0-py3-none-any.whl", {HASHES} }}',
                "lock.filename-mismatch",
            ),
            (f'archive = {{ url = "http://[", {HASHES} }}', "lock.url-refused"),
        ],
    )
    def test_bad_sources_are_refused(self, tmp_path: Path, table: str, code: str) -> None:
        assert code_of(tmp_path, tree("g", table)) == code


class TestBlemishes:
    def test_an_entry_without_source_only_matters_when_selected(self, tmp_path: Path) -> None:
        bare = '[[packages]]\nname = "b"\nversion = "1.0"\nmarker = "sys_platform == \'win32\'"\n'
        assert names(select(tmp_path, bare, entry("a"))) == ["a==1.0"]
        with pytest.raises(LockError) as caught:
            select(tmp_path, entry("a"), bare, here=windows())
        assert caught.value.code == "lock.invalid"
        assert "packages[1] (b)" in caught.value.message

    def test_a_file_without_a_place_is_left_to_the_index(self, tmp_path: Path) -> None:
        wheel = f'wheels = [{{ name = "a-1.0-py3-none-any.whl", {HASHES} }}]'
        (found,) = select(tmp_path, tree("a", f'version = "1.0"\n{wheel}'))
        choice = choose(found, linux(), hashed=True)
        assert choice.artifact is not None
        assert (choice.artifact.url, choice.artifact.path) == (None, None)
        assert choice.artifact.hashes[0].value == DIGEST

    def test_the_writer_that_invents_files_is_not_believed(self, tmp_path: Path) -> None:
        path = write(tmp_path, "pylock.toml", HEAD.replace("test", "pipenv") + entry("markdown.it"))
        with pytest.raises(LockError) as caught:
            pylock.read(path)
        assert caught.value.code == "lock.invalid"
        assert "Pipfile.lock" in caught.value.hint

    def test_a_later_minor_version_is_read_with_a_warning(self, tmp_path: Path) -> None:
        path = write(tmp_path, "pylock.toml", HEAD.replace("1.0", "1.7") + entry("a"))
        lock = pylock.read(path)
        assert lock.format == "pylock 1.7"
        assert len(lock.warnings) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "lock.invalid"),
        ('lock-version = "2.0"\ncreated-by = "x"\npackages = []', "lock.unsupported"),
        ('lock-version = "999"\ncreated-by = "x"\npackages = []', "lock.unsupported"),
        ('lock-version = "x"\ncreated-by = "x"\npackages = []', "lock.invalid"),
        (HEAD + "packages = 1", "lock.invalid"),
        (HEAD + "packages = [1]", "lock.invalid"),
        (HEAD + '[[packages]]\nname = "A B"', "lock.invalid"),
        (HEAD + entry("a").replace(DIGEST, "zz"), "lock.invalid"),
        (HEAD + entry("a").replace(f'sha256 = "{DIGEST}"', ""), "lock.invalid"),
        (HEAD + entry("a", more='marker = "nonsense"'), "lock.invalid"),
    ],
)
def test_what_is_no_pylock(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(LockError) as caught:
        pylock.read(write(tmp_path, "pylock.toml", text)).select(linux(), PLAIN)
    assert caught.value.code == code
    assert str(tmp_path) in caught.value.message
