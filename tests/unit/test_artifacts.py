from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.artifacts import (
    artifact,
    file_hash,
    git_source,
    hash_table,
    local_path,
    package_name,
    package_version,
    relative_directory,
    split_fragment,
    version_fits,
    web_url,
    wheel_parts,
)
from tests.support.locks import DIGEST, FILES

NAME = canonicalize_name("foo-bar")


def code_of(call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(Fault) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert "\x1b" not in caught.value.message
    return caught.value.code


class TestNames:
    def test_names_are_normalised(self) -> None:
        assert package_name("Foo_.Bar") == "foo-bar"

    @pytest.mark.parametrize(
        "name", ["", "-foo", "foo-", "foo bar", "foo\x1b[31m", "../foo", "föö", "a" * 300]
    )
    def test_what_is_no_name_is_refused(self, name: str) -> None:
        assert code_of(package_name, name) == "lock.invalid"

    def test_versions_stay_as_written(self) -> None:
        assert package_version("2019.03.09") == "2019.03.09"
        assert code_of(package_version, "1.0\n") == "lock.invalid"
        assert code_of(package_version, "latest") == "lock.invalid"
        assert code_of(package_version, "1." + "0" * 400) == "lock.invalid"

    def test_local_versions_of_files_are_tolerated_one_way(self) -> None:
        assert version_fits("1.0", Version("1.0+cpu"))
        assert version_fits("1.0.0", Version("1.0"))
        assert not version_fits("1.0+cu118", Version("1.0"))
        assert not version_fits("1.0+cu118", Version("1.0+cpu"))


class TestHashes:
    def test_strong_and_weak(self) -> None:
        assert file_hash(f"sha256:{DIGEST}").value == DIGEST
        assert file_hash("md5:" + "0" * 32).algorithm == "md5"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sha256",
            "sha256:",
            f"sha256:{DIGEST[:-1]}",
            f"sha256:{DIGEST.upper()}",
            f"crc32:{DIGEST}",
            f"SHA256:{DIGEST}",
        ],
        ids=["empty", "bare", "no-value", "short", "uppercase", "unknown", "shouted"],
    )
    def test_what_is_no_hash_is_refused(self, text: str) -> None:
        assert code_of(file_hash, text) == "lock.invalid"

    def test_a_table_of_hashes(self) -> None:
        found = hash_table({"sha256": DIGEST, "sha3_512": "whatever", "md5": "0" * 32})
        assert [item.algorithm for item in found] == ["sha256", "md5"]
        assert code_of(hash_table, {"sha256": 1}) == "lock.invalid"

    def test_a_hash_in_a_fragment(self) -> None:
        bare, hashes = split_fragment(f"{FILES}/foo.whl#subdirectory=x&sha256={DIGEST}")
        assert bare == f"{FILES}/foo.whl"
        assert [item.value for item in hashes] == [DIGEST]


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "https://files.example.org/a/foo.whl",
            "http://127.0.0.1:8080/simple",
            "https://user:secret@index.example.org/simple",
            "HTTPS://files.example.org",
            "https://[2001:db8::1]:8443/x",
            "https://files.example.org/caf%C3%A9?x=y#z",
        ],
    )
    def test_web_urls(self, url: str) -> None:
        assert web_url(url) == url

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "ftp://files.example.org/x",
            "data:,x",
            "git+ssh://git@example.org/x",
            "git+ext::sh -c id",
            "//files.example.org/x",
            "https:/x",
            "https:///x",
            "https://files.example.org\\@evil.example/x",
            "https://files.example.org/a b",
            "https://files.example.org/\x1b[31m",
            "https://a@b@files.example.org/",
            "https://[fe80::1%25eth0]/x",
            "https://[fe80::1]/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/x",
            "http://2852039166/latest",
            "http://0x7f.1/x",
            "http://127.1/x",
            "http://0177.0.0.1/x",
            "https://files.example.org:port/x",
            "https://files.example.org/" + "x" * 2_000_000,
        ],
    )
    def test_other_urls_are_refused(self, url: str) -> None:
        assert code_of(web_url, url) == "lock.url-refused"

    def test_secrets_are_not_shown(self) -> None:
        with pytest.raises(Fault) as caught:
            web_url("ftp://user:secret@files.example.org/x?token=secret")
        assert "secret" not in caught.value.message
        assert "files.example.org" in caught.value.message

    @pytest.mark.parametrize(
        "url", ["https://example.org/r.git", "ssh://git@example.org/r", "git@example.org:a/r.git"]
    )
    def test_git_urls(self, url: str) -> None:
        assert git_source(f"git+{url}", commit="0" * 40).url == url

    @pytest.mark.parametrize(
        ("url", "options", "code"),
        [
            ("ext::sh -c id", {}, "lock.url-refused"),
            ("--upload-pack=id", {}, "lock.url-refused"),
            ("ssh://-oProxyCommand=id/x", {}, "lock.url-refused"),
            ("-x@example.org:a", {}, "lock.url-refused"),
            ("file:///srv/r", {}, "lock.url-refused"),
            ("https://example.org/r", {"commit": "--upload-pack=id"}, "lock.invalid"),
            ("https://example.org/r", {"commit": "abc123"}, "lock.invalid"),
            ("https://example.org/r", {"reference": "--upload-pack=id"}, "lock.invalid"),
            ("https://example.org/r", {"subdirectory": "../x"}, "lock.invalid"),
        ],
    )
    def test_nothing_can_pass_for_an_option_of_git(
        self, url: str, options: dict[str, str], code: str
    ) -> None:
        assert code_of(git_source, url, **options) == code

    def test_paths(self) -> None:
        assert local_path(Path("/p"), "wheels/a.whl") == Path("/p/wheels/a.whl")
        assert relative_directory("a/b") == "a/b"
        assert code_of(local_path, Path("/p"), "a\0b") == "lock.invalid"
        for bad in ("/abs", "a/../../b", "..", "\\\\host", "c:x", "-x"):
            assert code_of(relative_directory, bad) == "lock.invalid"


class TestFiles:
    def test_a_wheel_and_an_sdist(self) -> None:
        wheel = artifact(NAME, "1.0", url=f"{FILES}/foo_bar-1.0-py3-none-any.whl", size=5)
        assert wheel is not None
        assert (wheel.filename, wheel.size) == ("foo_bar-1.0-py3-none-any.whl", 5)
        assert artifact(NAME, "1.0", filename="foo-bar-1.0.tar.gz") is not None
        assert artifact(NAME, "1.0", filename="Foo.Bar-1.0.0.zip") is not None
        assert artifact(NAME, "1.0.post1", filename="foo-bar-1.0-1.tar.gz") is not None
        assert artifact(NAME, None, filename="foo_bar-7.tar.gz") is not None

    def test_names_are_decoded_once(self) -> None:
        found = artifact(
            canonicalize_name("torch"), "2.9.1", url=f"{FILES}/torch-2.9.1%2Bcpu-cp312-cp312-win_amd64.whl"
        )
        assert found is not None
        assert found.filename == "torch-2.9.1+cpu-cp312-cp312-win_amd64.whl"

    @pytest.mark.parametrize(
        "name", ["foo_bar-1.0-py3.12.egg", "foo-bar-1.0.win32.exe", "foo_bar-1.0.msi", "foo-1.whl"]
    )
    def test_kinds_that_are_never_installed_are_left_out(self, name: str) -> None:
        assert artifact(NAME, "1.0", filename=name) is None

    @pytest.mark.parametrize(
        "url",
        [
            "foo_bar-2.0-py3-none-any.whl",
            "other-1.0-py3-none-any.whl",
            "foo_bar-1.0.tar.gz/../../x-1.0.tar.gz",
            "..%2f..%2ffoo_bar-1.0-py3-none-any.whl",
            "%252e%252e%252ffoo_bar-1.0-py3-none-any.whl",
            "foo_bar-1.0-py3-none-any.whl%00",
            "foo_bar-1.0-py3-none-any%1b.whl",
            "..%5cfoo-bar-1.0.tar.gz",
            "",
            "foo-bar-1.1.tar.gz",
            "foo-barista-1.0.tar.gz",
        ],
    )
    def test_names_that_do_not_fit_are_refused(self, url: str) -> None:
        assert code_of(artifact, NAME, "1.0", url=f"{FILES}/{url}") == "lock.filename-mismatch"

    def test_the_one_archive_of_a_url_may_have_any_name_but_that_of_another_wheel(self) -> None:
        assert artifact(NAME, "1.0", url="https://example.org/archive/main.zip", direct=True) is not None
        assert (
            artifact(NAME, "1.0", url="https://example.org/x/foo_bar-1.0-py3-none-any.whl", direct=True)
            is not None
        )
        for name in ("other-1.0-py3-none-any.whl", "x.whl"):
            url = f"https://example.org/{name}"
            assert code_of(artifact, NAME, "1.0", url=url, direct=True) == "lock.filename-mismatch"

    def test_sizes_are_not_negative(self) -> None:
        assert code_of(artifact, NAME, "1.0", filename="foo-bar-1.0.tar.gz", size=-1) == "lock.invalid"

    def test_a_wheel_with_a_bomb_of_tags_is_none(self) -> None:
        tags = ".".join(f"a{i}" for i in range(30))
        assert wheel_parts(f"f-1-{tags}-{tags}-{tags}.whl") is None
        assert wheel_parts("f-1-" + "a" * 300 + "-none-any.whl") is None
