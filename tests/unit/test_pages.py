from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from sprawld.acquire.filenames import version_rank
from sprawld.acquire.pages import ProjectFile, parse_page
from sprawld.acquire.pagestore import PageStore, StoredPage
from sprawld.errors import PackageIndexError
from sprawld.model import Hash
from tests.support.index import JSON_TYPE


def sha256(value: str) -> Hash:
    return Hash(algorithm="sha256", value=value)


def page(*files: dict[str, Any], version: Any = "1.1") -> str:
    return json.dumps({"meta": {"api-version": version}, "name": "six-pack", "files": list(files)})


MALFORMED = {
    "web-page-type": (b"\x89PNG", "image/png"),
    "no-type": (b"{}", ""),
    "not-json": (b"{", JSON_TYPE),
    "not-utf8": (b"\xff\xfe{", JSON_TYPE),
    "deep": (b"[" * 100_000, JSON_TYPE),
    "list": (b"[]", JSON_TYPE),
    "no-files": (b'{"meta": {"api-version": "1.0"}}', JSON_TYPE),
    "version-2": (page(version="2.0").encode(), JSON_TYPE),
    "version-number": (page(version=1.0).encode(), JSON_TYPE),
    "file-is-text": (b'{"files": ["x"]}', JSON_TYPE),
    "no-url": (page({"filename": "x"}).encode(), JSON_TYPE),
    "hash-no-hex": (page({"filename": "x", "url": "x", "hashes": {"sha256": "xyz"}}).encode(), JSON_TYPE),
    "hashes-list": (page({"filename": "x", "url": "x", "hashes": []}).encode(), JSON_TYPE),
    "broken-url": (page({"filename": "x", "url": "//[", "hashes": {}}).encode(), JSON_TYPE),
    "html-version-2": (b'<meta name="pypi:repository-version" content="2.0">', "text/html"),
    "html-charset": (b"<a>", "text/html; charset=nonsense"),
    "html-not-utf8": (b"<a href='x'>\xff</a>", "text/html"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_something_that_is_not_a_project_page(case: str) -> None:
    body, content_type = MALFORMED[case]
    with pytest.raises(PackageIndexError) as caught:
        parse_page(body, content_type, "https://user:secret@host/simple/x/", "x")
    assert caught.value.code == "index.malformed"
    assert "secret" not in str(caught.value)


def test_unknown_parts_of_a_page_are_ignored() -> None:
    body = page(
        {"filename": "a-1.0.tar.gz", "url": "a.tgz#x", "hashes": {"crc": 7}, "size": "?", "new": {}},
        {"filename": "b-1.0.tar.gz", "url": "file:///etc/passwd", "hashes": {}},
        {"filename": "../c-1.0.tar.gz", "url": "c.tgz", "hashes": {}},
        {"filename": "d\x1b-1.0.tar.gz", "url": "d.tgz", "hashes": {}},
        {"filename": "e-1.0.tar.gz", "url": "e.tgz", "hashes": {"sha256": "AB" * 32}, "yanked": ""},
        version="1.99",
    )
    files = parse_page(body.encode(), f"{JSON_TYPE}; charset=utf-8", "https://host/simple/a/", "a")
    assert files == (
        ProjectFile("a-1.0.tar.gz", "https://host/simple/a/a.tgz", (), None, False, None),
        ProjectFile("e-1.0.tar.gz", "https://host/simple/a/e.tgz", (sha256("ab" * 32),), None, True, None),
    )


def test_a_newer_minor_version_of_html_is_no_reason_to_warn() -> None:
    body = b'<meta name="pypi:repository-version" content="1.9"><a href="x-1.0.tar.gz">x</a>'
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        assert len(parse_page(body, "text/html", "https://host/x/", "x")) == 1
    assert caught == []


def test_the_kept_pages_stay_below_their_limit(tmp_path: Path) -> None:
    store = PageStore(tmp_path / "pages", limit_bytes=10_000)
    for number in range(20):
        body = bytes(1000)
        store.write(
            f"https://host/{number}/", StoredPage(url="u", type="t", encoding="", etag="e", body=body)
        )
    kept = [number for number in range(20) if store.read(f"https://host/{number}/") is not None]
    assert 5 <= len(kept) <= 11
    assert sum(path.stat().st_size for path in (tmp_path / "pages").iterdir()) <= 12_000
    assert kept[-1] == 19


@pytest.mark.parametrize(
    ("filename", "rank"),
    [
        ("six_pack-1.0-py3-none-any.whl", 2),
        ("SIX.pack-1.0.0-1-py3-none-any.whl", 2),
        ("six_pack-1.0+cpu-py3-none-any.whl", 1),
        ("six-pack-1.0.tar.gz", 2),
        ("six_pack-1.0+x.tar.gz", 1),
        ("six_pack-1.0rc1-py3-none-any.whl", 0),
        ("six_pack_more-1.0-py3-none-any.whl", 0),
        ("six-pack-more-1.0.tar.gz", 0),
        ("six_pack-1.0-1/../x-py3.whl", 0),
        ("six_pack-1.0.whl", 0),
        ("six_pack-1.0.dmg", 0),
        ("six_pack-latest.tar.gz", 0),
    ],
)
def test_which_files_are_of_a_version(filename: str, rank: int) -> None:
    assert version_rank(filename, "six-pack", "1.0") == rank
