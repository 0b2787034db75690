from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import SprawlError
from sprawld.lockfiles import pipfile
from sprawld.model import Environment, Pin, Wanted
from tests.support.locks import DIGEST, INDEX, PLAIN, linux, names, windows, write

OTHER = "https://other.example.org/simple"
SOURCES = [
    {"name": "pypi", "url": INDEX, "verify_ssl": True},
    {"name": "other", "url": OTHER, "verify_ssl": True},
]
COMMIT = "0123456789" * 4


def entry(version: str = "1.0", **more: Any) -> dict[str, Any]:
    return {"version": f"=={version}", "hashes": [f"sha256:{DIGEST}"], **more}


def lock(meta: dict[str, Any] | None = None, **sections: dict[str, Any]) -> str:
    return json.dumps({"_meta": {"pipfile-spec": 6, "sources": SOURCES, **(meta or {})}, **sections})


def select(
    directory: Path, text: str, wanted: Wanted = PLAIN, here: Environment | None = None
) -> tuple[Pin, ...]:
    return pipfile.read(write(directory, "Pipfile.lock", text)).select(here or linux(), wanted)


def pin(directory: Path, item: dict[str, Any], meta: dict[str, Any] | None = None) -> Pin:
    (found,) = select(directory, lock(meta, default={"a": item}))
    return found


def code(directory: Path, text: str, wanted: Wanted = PLAIN, here: Environment | None = None) -> str:
    with pytest.raises(SprawlError) as caught:
        select(directory, text, wanted, here)
    assert str(directory) in caught.value.message
    return caught.value.code


SECTIONS = {"default": {"a": entry()}, "develop": {"b": entry(), "a": entry()}, "typing-dev": {"c": entry()}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PLAIN, "a"),
        (Wanted(groups=("dev",)), "ab"),
        (Wanted(groups=("develop",)), "ab"),
        (Wanted(groups=("typing-dev",), no_dev=True), "ac"),
        (Wanted(only_groups=("dev",)), "ab"),
        (Wanted(only_groups=("typing_dev",)), "c"),
        (Wanted(all_groups=True), "abc"),
        (Wanted(all_groups=True, no_groups=("dev",)), "ac"),
    ],
)
def test_sections_are_groups(tmp_path: Path, wanted: Wanted, expected: str) -> None:
    pins = select(tmp_path, lock(**SECTIONS), wanted)
    assert "".join(found.name for found in pins) == expected


def test_there_are_no_extras_and_no_other_groups(tmp_path: Path) -> None:
    assert code(tmp_path, lock(**SECTIONS), Wanted(groups=("docs",))) == "select.unknown-group"
    assert code(tmp_path, lock(**SECTIONS), Wanted(extras=("x",))) == "select.unknown-extra"


def test_a_pin_has_all_hashes_and_no_files(tmp_path: Path) -> None:
    found = pin(tmp_path, entry("2.0", hashes=[f"sha256:{DIGEST}", "sha256:" + "cd" * 32], extras=["x"]))
    assert (found.version, found.artifacts) == ("2.0", ())
    assert [each.value for each in found.hashes] == [DIGEST, "cd" * 32]
    assert found.via == ("default",)


def test_markers_in_one_key_or_many(tmp_path: Path) -> None:
    sections = {
        "A": entry(markers="python_version < '3.8' or sys_platform == 'win32'"),
        "B": entry(sys_platform="== 'win32'"),
        "c": entry(),
    }
    assert names(select(tmp_path, lock(default=sections))) == ["c==1.0"]
    assert names(select(tmp_path, lock(default=sections), here=windows())) == ["a==1.0", "b==1.0", "c==1.0"]


def test_markers_that_pipenv_took_from_its_pylock(tmp_path: Path) -> None:
    text = lock(default={"a": entry()}, develop={"b": entry(markers="'dev' in dependency_groups")})
    assert names(select(tmp_path, text, Wanted(groups=("dev",)))) == ["a==1.0", "b==1.0"]


def test_the_later_section_wins_as_in_pipenv_with_a_warning(tmp_path: Path) -> None:
    text = lock(develop={"a": entry("2.0")}, default={"a": entry("1.0")})
    assert names(select(tmp_path, text)) == ["a==1.0"]
    assert names(select(tmp_path, text, Wanted(groups=("dev",)))) == ["a==2.0"]
    assert len(pipfile.read(tmp_path / "Pipfile.lock").warnings) == 1


@pytest.mark.parametrize(
    ("requires", "python", "fits"),
    [
        ({"python_version": "3.12"}, "3.12.7", True),
        ({"python_version": "3.1"}, "3.12.7", False),
        ({"python_version": "3.11"}, "3.12.7", False),
        ({"python_full_version": "3.12.7"}, "3.12.7", True),
        ({"python_full_version": "3.12.6"}, "3.12.7", False),
        ({}, "3.12.7", True),
    ],
)
def test_the_lock_was_made_for_one_python(
    tmp_path: Path, requires: dict[str, str], python: str, fits: bool
) -> None:
    text = lock({"requires": requires}, default={"a": entry()})
    if fits:
        assert names(select(tmp_path, text, here=linux(python))) == ["a==1.0"]
    else:
        assert code(tmp_path, text, here=linux(python)) == "select.requires-python"


class TestIndexes:
    def test_the_named_one_or_the_first(self, tmp_path: Path) -> None:
        source = pin(tmp_path, entry(index="other")).source
        assert (source.index, source.extra_indexes) == (OTHER, ())
        source = pin(tmp_path, entry()).source
        assert (source.index, source.extra_indexes) == (INDEX, (OTHER,))
        # Without hashes nothing but the order tells whose file is meant.
        source = pin(tmp_path, {"version": "==1.0"}).source
        assert (source.index, source.extra_indexes) == (INDEX, ())
        assert pin(tmp_path, entry(), {"sources": []}).source.index is None

    def test_an_unknown_name(self, tmp_path: Path) -> None:
        assert code(tmp_path, lock(default={"a": entry(index="gone")})) == "lock.invalid"

    def test_credentials_from_variables_are_left_to_the_user(self, tmp_path: Path) -> None:
        meta = {"sources": [{"name": "pypi", "url": "https://${USER}:${TOKEN}@host/simple"}]}
        assert pin(tmp_path, entry(), meta).source.index == "https://host/simple"

    @pytest.mark.parametrize("url", ["https://host/${SECRET}", "https://${SECRET}.host/", "file:///srv", ""])
    def test_urls_that_are_not_asked(self, tmp_path: Path, url: str) -> None:
        text = lock({"sources": [{"name": "pypi", "url": url}]}, default={"a": entry()})
        assert code(tmp_path, text) == "lock.url-refused"

    def test_certificates_are_checked_whatever_the_lock_says(self, tmp_path: Path) -> None:
        meta = {"sources": [{"name": "pypi", "url": INDEX, "verify_ssl": False}]}
        assert pipfile.read(write(tmp_path, "Pipfile.lock", lock(meta))).warnings


class TestDirectSources:
    def test_editable_and_local_directories(self, tmp_path: Path) -> None:
        found = pin(tmp_path, {"editable": True, "path": "."})
        assert (found.source.kind, found.source.path, found.version) == ("editable", tmp_path, None)
        assert pin(tmp_path, {"path": "./sub"}).source.kind == "directory"

    def test_local_archives_and_urls(self, tmp_path: Path) -> None:
        found = pin(tmp_path, {"path": "a-1.0-py3-none-any.whl", "hashes": [f"sha256:{DIGEST}"]})
        assert (found.source.kind, found.artifacts[0].path) == ("path", tmp_path / "a-1.0-py3-none-any.whl")
        found = pin(tmp_path, {"file": "https://host/a-1.0.tar.gz#egg=a", "hashes": [f"sha256:{DIGEST}"]})
        assert (found.source.kind, found.artifacts[0].url) == ("url", "https://host/a-1.0.tar.gz")
        assert found.hashes[0].value == DIGEST

    @pytest.mark.parametrize(
        ("item", "url", "reference", "commit"),
        [
            ({"git": "https://host/a.git", "ref": COMMIT}, "https://host/a.git", None, COMMIT),
            ({"git": "https://host/a.git", "ref": "1a2b3c"}, "https://host/a.git", "1a2b3c", None),
            ({"git": "https://host/a.git@3884b9e"}, "https://host/a.git", "3884b9e", None),
            ({"git": "git@host:org/a.git", "ref": "main"}, "git@host:org/a.git", "main", None),
            ({"git": "ssh://git@host/a.git@v1"}, "ssh://git@host/a.git", "v1", None),
        ],
    )
    def test_git(
        self, tmp_path: Path, item: dict[str, str], url: str, reference: str | None, commit: str | None
    ) -> None:
        source = pin(tmp_path, item).source
        assert (source.kind, source.url, source.reference, source.commit) == ("git", url, reference, commit)

    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            ({"git": "ext::sh -c x"}, "lock.url-refused"),
            ({"git": "https://host/a", "ref": "--upload-pack=x"}, "lock.invalid"),
            ({"hg": "https://host/a"}, "lock.unsupported"),
            ({"file": "https://host/b-1.0-py3-none-any.whl"}, "lock.filename-mismatch"),
            ({"markers": "os_name == 'posix'"}, "lock.invalid"),
            ({"version": ">=1.0"}, "lock.invalid"),
            ({"version": "==1.*"}, "lock.invalid"),
            ({"version": 3}, "lock.invalid"),
            ({"version": "==1.0", "hashes": ["sha256:xyz"]}, "lock.invalid"),
            ({"version": "==1.0", "hashes": "sha256"}, "lock.invalid"),
            ({"version": "==1.0", "markers": "nonsense"}, "lock.invalid"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, item: dict[str, Any], expected: str) -> None:
        assert code(tmp_path, lock(default={"a": item})) == expected


class TestFile:
    def test_files_of_2017_have_no_spec_and_no_hashes(self, tmp_path: Path) -> None:
        text = json.dumps(
            {"_meta": {"sources": [{"url": INDEX}]}, "default": {"Jinja2": {"version": "==2.9.6"}}}
        )
        found = pipfile.read(write(tmp_path, "Pipfile.lock", text))
        assert (found.format, found.hashed) == ("pipfile 2017", False)
        assert names(found.select(linux(), PLAIN)) == ["jinja2==2.9.6"]

    def test_hashed_when_any_entry_has_hashes(self, tmp_path: Path) -> None:
        found = pipfile.read(write(tmp_path, "Pipfile.lock", lock(develop={"a": entry()}, default={})))
        assert (found.format, found.hashed) == ("pipfile 6", True)

    def test_a_later_spec(self, tmp_path: Path) -> None:
        assert code(tmp_path, lock({"pipfile-spec": 7})) == "lock.unsupported"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{", "lock.syntax"),
            ("[]", "lock.invalid"),
            ('{"a":' * 100_000, "lock.syntax"),
            ('{"default": {"a": {"version": "==1"}, "a": {"version": "==2"}}}', "lock.syntax"),
            ('{"default": {"A.b": {"version": "==1"}, "a-b": {"version": "==2"}}}', "lock.duplicate-package"),
            ('{"default": {"a": []}}', "lock.invalid"),
            ('{"default": []}', "lock.invalid"),
            ('{"_meta": []}', "lock.invalid"),
            ('{"default": {"a\\u001b[31m": {"version": "==1"}}}', "lock.invalid"),
            ('{"_meta": {"pipfile-spec": ' + "9" * 5000 + "}}", "lock.syntax"),
            ("\ufeff{}", "lock.not-utf8"),
        ],
    )
    def test_what_is_not_a_lock(self, tmp_path: Path, text: str, expected: str) -> None:
        assert code(tmp_path, text) == expected

    def test_the_project_file_has_no_say(self, tmp_path: Path) -> None:
        write(tmp_path, "pyproject.toml", "not toml")
        found = pipfile.read(write(tmp_path, "Pipfile.lock", lock()))
        assert found.project.name is None
        write(tmp_path, "pyproject.toml", '[project]\nname = "App"\nversion = "1"\n')
        found = pipfile.read(tmp_path / "Pipfile.lock")
        assert (found.project.name, found.project.version) == ("app", "1")
        assert [path.name for path in found.inputs] == ["Pipfile.lock", "pyproject.toml", "Pipfile"]
