"""Locks made to do harm: each is refused with its code, and no socket is opened on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import SprawlError
from sprawld.lockfiles.find import find_lock
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.selection import select
from sprawld.model import Selection
from sprawld.selecting import refuse_builds
from tests.support import poetry_locks
from tests.support.costs import measured
from tests.support.locks import DIGEST, FILES, INDEX, PLAIN, linux, package, pdm_lock, uv_lock, write

Make = Callable[[Path], object]

GOOD = package("a")
WHEEL = "a-1.0-py3-none-any.whl"
SECRET = "hunter2 = not toml\n"


def app(edges: str = '{ name = "a" }') -> str:
    return package("app", source='virtual = "."', dependencies=edges)


def uv(*packages: str, head: str = "", edges: str = '{ name = "a" }') -> Make:
    return lambda directory: write(directory, "uv.lock", uv_lock(app(edges), *packages, head=head))


def raw(text: str | bytes, name: str = "uv.lock") -> Make:
    return lambda directory: write(directory, name, text)


def changed(old: str, new: str) -> Make:
    """The good lock with one thing changed."""
    assert old in GOOD
    return uv(GOOD.replace(old, new))


def at_url(url: str) -> Make:
    return changed(f"{FILES}/{WHEEL}", url)


def from_source(source: str, files: str = "") -> Make:
    return uv(package("a", source=source, wheel="", more=files))


def pdm(file: str) -> Make:
    return raw(pdm_lock(file), "pdm.lock")


def poetry(file: str, digest: str = f"sha256:{DIGEST}") -> Make:
    files = f'files = [{{file = "{file}", hash = "{digest}"}}]'
    one = poetry_locks.package("a", files=files, more='groups = ["main"]')
    return raw(poetry_locks.lock(one), "poetry.lock")


def pylock(body: str) -> Make:
    return raw(f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "a"\n{body}\n', "pylock.toml")


def special(make: Callable[[Path], object]) -> Make:
    return lambda directory: make(directory / "uv.lock")


def of_another_user(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    write(path.parent, path.name, uv_lock(app(), GOOD))
    os.chown(path, 65_534, 65_534)


def in_a_public_directory(path: Path) -> None:
    write(path.parent, path.name, uv_lock(app(), GOOD))
    path.parent.chmod(0o1777)


def link_to_a_secret(path: Path) -> None:
    write(path.parent, "secret", SECRET).chmod(0o600)
    path.symlink_to("secret")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 100 << 20)


def with_a_trust_key(directory: Path) -> None:
    write(directory, "uv.lock", uv_lock(app(), GOOD.replace(f'hash = "sha256:{DIGEST}", ', "")))
    setting = f'allow-weak-hashes = ["{INDEX}", "files.example.org"]\n'
    write(
        directory, "pyproject.toml", f'[project]\nname = "app"\n[tool.virtual-sprawl]\n{setting}{setting[6:]}'
    )
    write(directory, "config.toml", setting)


def marked(marker: str) -> Make:
    return uv(GOOD, edges=f'{{ name = "a", marker = "{marker}" }}')


HASH = f'hash = "sha256:{DIGEST}"'
ONE = f"wheels = [{{ {HASH} }}]"
BOTH = '{ name = "a", version = "1.0" }, { name = "a", version = "2.0" }'
GIT = "https://git.example.org/a"
COMMIT = "0" * 40

LOCKS: dict[str, tuple[Make, str]] = {
    # hashes
    "hash-missing": (changed(f"{HASH}, ", ""), "lock.hash-missing"),
    "hash-md5": (changed(f"sha256:{DIGEST}", "md5:" + "0" * 32), "lock.hash-weak"),
    "hash-sha1": (poetry(WHEEL, "sha1:" + "0" * 40), "lock.hash-weak"),
    "hash-empty": (changed(f"sha256:{DIGEST}", ""), "lock.invalid"),
    "hash-uppercase": (changed(f"sha256:{DIGEST}", f"sha256:{DIGEST.upper()}"), "lock.invalid"),
    "hash-short": (changed(f"sha256:{DIGEST}", f"sha256:{DIGEST[:32]}"), "lock.invalid"),
    "hash-of-no-algorithm": (changed("sha256:", "rot13:"), "lock.invalid"),
    # file names
    "file-of-another-package": (at_url(f"{FILES}/evil-1.0-py3-none-any.whl"), "lock.filename-mismatch"),
    "file-of-another-version": (at_url(f"{FILES}/a-1.1-py3-none-any.whl"), "lock.filename-mismatch"),
    "file-of-another-package-in-pdm": (pdm("evil-1.0-py3-none-any.whl"), "lock.filename-mismatch"),
    "file-of-another-package-in-poetry": (poetry("evil-1.0-py3-none-any.whl"), "lock.filename-mismatch"),
    "file-traversal-in-poetry": (poetry(f"../../{WHEEL}"), "lock.filename-mismatch"),
    "file-with-encoded-slash": (at_url(f"{FILES}/..%2f..%2f{WHEEL}"), "lock.filename-mismatch"),
    "file-encoded-twice": (at_url(f"{FILES}/%252e%252e%252f{WHEEL}"), "lock.filename-mismatch"),
    "file-with-backslash": (at_url(f"{FILES}/..%5c{WHEEL}"), "lock.filename-mismatch"),
    "file-with-nul": (at_url(f"{FILES}/{WHEEL}%00.whl"), "lock.filename-mismatch"),
    # URLs
    "url-file": (at_url(f"file:///srv/{WHEEL}"), "lock.url-refused"),
    "url-ftp": (at_url(f"ftp://files.example.org/{WHEEL}"), "lock.url-refused"),
    "url-data": (at_url(f"data:application/zip,/{WHEEL}"), "lock.url-refused"),
    "url-git-ssh": (at_url(f"git+ssh://git@example.org/{WHEEL}"), "lock.url-refused"),
    "url-smb": (at_url(rf"\\\\evil.example\\share\\{WHEEL}"), "lock.filename-mismatch"),
    "url-userinfo-trick": (at_url(f"https://files.example.org\\\\@evil.example/{WHEEL}"), "lock.url-refused"),
    "url-two-userinfos": (at_url(f"https://a@files.example.org@evil.example/{WHEEL}"), "lock.url-refused"),
    "url-ipv6-zone": (at_url(f"http://[fe80::1%25eth0]/{WHEEL}"), "lock.url-refused"),
    "url-metadata-service": (at_url(f"http://169.254.169.254/{WHEEL}"), "lock.url-refused"),
    "url-loopback-in-decimal": (at_url(f"http://2130706433/{WHEEL}"), "lock.url-refused"),
    "url-loopback-in-octal": (at_url(f"http://0177.0.0.1/{WHEEL}"), "lock.url-refused"),
    "url-of-two-megabytes": (at_url(f"{FILES}/{'x' * 2_000_000}/{WHEEL}"), "lock.url-refused"),
    "url-with-escape": (at_url(f"{FILES}/\\u001b[31m/{WHEEL}"), "lock.url-refused"),
    "index-file": (from_source('registry = "file:///srv"', ONE), "lock.url-refused"),
    # git
    "git-ext": (from_source(f'git = "ext::sh -c id#{COMMIT}"'), "lock.url-refused"),
    "git-option-as-url": (from_source(f'git = "--upload-pack=id#{COMMIT}"'), "lock.url-refused"),
    "git-option-as-commit": (from_source(f'git = "{GIT}#--upload-pack=id"'), "lock.invalid"),
    "git-option-as-reference": (from_source(f'git = "{GIT}?rev=--upload-pack=id#{COMMIT}"'), "lock.invalid"),
    "git-leaving-its-tree": (from_source(f'git = "{GIT}?subdirectory=../x#{COMMIT}"'), "lock.invalid"),
    "git-without-commit": (from_source(f'git = "{GIT}?rev=main"'), "lock.invalid"),
    "git-to-be-built": (from_source(f'git = "{GIT}#{COMMIT}"'), "select.needs-build"),
    # local files and builds
    "path-without-hash": (from_source(f'path = "/srv/{WHEEL}"', "wheels = [{}]"), "lock.hash-missing"),
    "path-with-nul": (from_source('path = "a\\u0000b"'), "lock.invalid"),
    "path-of-other-package": (from_source('path = "../b-1-py3-none-any.whl"', ONE), "lock.filename-mismatch"),
    "editable-elsewhere": (from_source('editable = "../../elsewhere"'), "select.needs-build"),
    "directory-elsewhere": (pylock('directory = { path = "/srv/elsewhere" }'), "select.needs-build"),
    "sdist-only": (changed(WHEEL, "a-1.0.tar.gz"), "select.needs-build"),
    # the file itself
    "100-megabytes": (special(sparse), "lock.too-large"),
    "nested-100000-deep": (raw("a = " + "[" * 100_000), "lock.syntax"),
    "4000000-tables": (raw("version = 1\na = [" + "{}," * 4_000_000 + "]\n"), "lock.too-large"),
    "2000000-requirements": (raw("a==1\n" * 2_000_000, "requirements.txt"), "lock.too-large"),
    "1000000-packages": (raw("version = 1\n" + "[[package]]\nname = 'a'\n" * 1_000_000), "lock.too-large"),
    "50000-packages": (raw("version = 1\n" + "[[package]]\nname = 'a'\n" * 50_000), "lock.too-large"),
    "duplicate-keys": (raw("version = 1\nversion = 1\n"), "lock.syntax"),
    "duplicate-packages": (uv(GOOD, GOOD.replace("ab", "cd")), "lock.duplicate-package"),
    "two-versions-at-once": (uv(GOOD, package("a", "2.0"), edges=BOTH), "lock.duplicate-package"),
    "not-utf8": (raw(b"version = 1\n# \xff\n"), "lock.not-utf8"),
    "byte-order-mark": (raw(b"\xef\xbb\xbfversion = 1\n"), "lock.not-utf8"),
    "nul": (raw(b"version = 1\n# \x00\n"), "lock.syntax"),
    "escape-in-name": (uv(package("a").replace('name = "a"', 'name = "a\\u001b[2J"')), "lock.invalid"),
    "escape-in-key": (raw('version = 1\n[package]\n"\\u001b[2J" = 1\n'), "lock.invalid"),
    "version-999": (raw("version = 999\n"), "lock.unsupported"),
    "marker-bomb": (marked(" or ".join(["os_name == 'a'"] * 10_000)), "lock.invalid"),
    "nested-marker-bomb": (marked("(" * 9_000), "lock.invalid"),
    "tag-bomb": (changed(WHEEL, "a-1.0-" + "-".join([".".join(["x"] * 30)] * 3) + ".whl"), "select.no-wheel"),
    # where it lies
    "fifo": (special(os.mkfifo), "lock.unreadable"),
    "device": (special(lambda path: path.symlink_to("/dev/zero")), "lock.unreadable"),
    "directory": (special(lambda path: path.mkdir()), "lock.unreadable"),
    "link-to-a-secret": (special(link_to_a_secret), "lock.syntax"),
    "of-another-user": (special(of_another_user), "lock.foreign-owner"),
    "in-a-public-directory": (special(in_a_public_directory), "lock.world-writable"),
    "trust-in-the-project": (with_a_trust_key, "lock.hash-missing"),
}  # fmt: skip


class Sockets:
    """Counts sockets made in this process while it is watching."""

    def __init__(self) -> None:
        self.watching = False
        self.opened: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if self.watching and event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
            self.opened.append(event)


SOCKETS = Sockets()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    SOCKETS.opened.clear()
    SOCKETS.watching = True
    yield SOCKETS
    SOCKETS.watching = False


def run(directory: Path) -> Selection:
    found = find_lock(directory, home=directory)
    assert found is not None
    selection = select(found, read_lock(found.lock, root=found.root), linux(), PLAIN)
    refuse_builds(choice for choice in selection.choices if choice.pin.name != "app")
    return selection


@pytest.mark.parametrize(("make", "code"), LOCKS.values(), ids=LOCKS.keys())
def test_it_is_refused(tmp_path: Path, sockets: Sockets, make: Make, code: str) -> None:
    directory = tmp_path / "project"
    directory.mkdir()
    make(directory)
    with pytest.raises(SprawlError) as caught, measured() as cost:
        run(directory)
    assert caught.value.code == code
    assert (cost.seconds < 1, cost.bytes < 128 << 20) == (True, True), cost
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 2_000
    assert SECRET.split()[0] not in caught.value.message
    assert sockets.opened == []


def test_there_are_enough_of_them() -> None:
    assert len(LOCKS) >= 48


def test_the_lock_they_are_made_from_is_good(tmp_path: Path, sockets: Sockets) -> None:
    write(tmp_path, "uv.lock", uv_lock(app(), GOOD))
    assert [choice.kind for choice in run(tmp_path).choices] == ["wheel", "virtual"]
    assert sockets.opened == []


def test_cycles_are_no_crime(tmp_path: Path) -> None:
    loop = [package(a, dependencies=f'{{ name = "{b}" }}') for a, b in (("a", "b"), ("b", "c"), ("c", "a"))]
    write(tmp_path, "uv.lock", uv_lock(app(), *loop))
    assert len(run(tmp_path).choices) == 4
