from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from sprawld.errors import LockError, SelectionError
from sprawld.lockfiles.choose import choose, choose_from
from sprawld.model import Artifact, Hash, Pin, Source
from tests.support.locks import DIGEST, FILES, INDEX, linux, macos, windows

STRONG = (Hash(algorithm="sha256", value=DIGEST),)
WEAK = (Hash(algorithm="md5", value="0" * 32), Hash(algorithm="sha1", value="0" * 40))


def pin(*filenames: str, hashes: tuple[Hash, ...] = STRONG, source: Source | None = None) -> Pin:
    return Pin(
        name=canonicalize_name("foo"),
        version="1.0",
        source=source or Source(kind="registry", index=INDEX),
        artifacts=tuple(Artifact(filename=name, url=f"{FILES}/{name}", hashes=hashes) for name in filenames),
    )


def chosen(*filenames: str) -> str:
    artifact = choose(pin(*filenames), linux(), hashed=True).artifact
    assert artifact is not None
    return artifact.filename


class TestOrder:
    PURE = "foo-1.0-py3-none-any.whl"
    NATIVE = "foo-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    STABLE = "foo-1.0-cp39-abi3-manylinux_2_28_x86_64.whl"
    SDIST = "foo-1.0.tar.gz"

    def test_the_best_tag_comes_first_whatever_the_order_in_the_lock(self) -> None:
        assert chosen(self.SDIST, self.PURE, self.STABLE, self.NATIVE) == self.NATIVE
        assert chosen(self.NATIVE, self.STABLE, self.PURE, self.SDIST) == self.NATIVE
        assert chosen(self.SDIST, self.PURE, self.STABLE) == self.STABLE
        assert chosen(self.SDIST, self.PURE) == self.PURE

    def test_the_tag_comes_before_the_build_tag(self) -> None:
        assert chosen("foo-1.0-9-py3-none-any.whl", self.NATIVE) == self.NATIVE

    def test_build_tags_are_numbers_and_the_higher_one_wins(self) -> None:
        plain, two, ten, ten_b = (f"foo-1.0{tag}-py3-none-any.whl" for tag in ("", "-2", "-10", "-10b"))
        assert chosen(plain, two) == two
        assert chosen(ten, two, plain) == ten
        assert chosen(ten, ten_b) == ten_b

    def test_platforms_differ(self) -> None:
        files = pin(
            "foo-1.0-cp312-cp312-win_amd64.whl",
            "foo-1.0-cp312-cp312-macosx_11_0_arm64.whl",
            "foo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        )
        found = [choose(files, here, hashed=True).artifact for here in (linux(), macos(), windows())]
        assert [item.filename[20:23] for item in found if item] == ["man", "mac", "win"]

    def test_an_sdist_where_no_wheel_fits(self) -> None:
        choice = choose(
            pin("foo-1.0-cp311-cp311-win_amd64.whl", self.SDIST, "foo-1.0.zip"), linux(), hashed=True
        )
        assert (choice.kind, choice.needs_build) == ("sdist", True)
        assert choice.artifact is not None
        assert choice.artifact.filename == self.SDIST

    def test_a_yanked_file_stays_chosen(self) -> None:
        yanked = Artifact(filename=self.PURE, url=f"{FILES}/{self.PURE}", hashes=STRONG, yanked=True)
        assert choose_from([yanked], pin(), linux()).artifact is yanked

    def test_nothing_fits(self) -> None:
        with pytest.raises(SelectionError) as caught:
            choose(pin("foo-1.0-cp311-cp311-win_amd64.whl"), linux(), hashed=True)
        assert caught.value.code == "select.no-wheel"
        assert "foo 1.0" in caught.value.message


class TestKinds:
    @pytest.mark.parametrize("kind", ["git", "directory", "editable", "virtual"])
    def test_source_trees_are_what_they_are(self, kind: str) -> None:
        source = Source(kind=kind, path=Path("/p"))  # type: ignore[arg-type]
        choice = choose(pin(source=source), linux(), hashed=True)
        assert (choice.kind, choice.artifact) == (kind, None)

    def test_a_lock_without_file_names_leaves_it_to_the_index(self) -> None:
        bare = Pin(
            name=canonicalize_name("foo"), version="1.0", source=Source(kind="registry"), hashes=STRONG
        )
        assert choose(bare, linux(), hashed=True).kind == "unresolved"

    def test_a_direct_source_without_files_cannot_be_looked_up(self) -> None:
        with pytest.raises(SelectionError):
            choose(pin(source=Source(kind="url", url=f"{FILES}/x")), linux(), hashed=True)


class TestHashes:
    FILE = "foo-1.0-py3-none-any.whl"

    def refused(self, hashes: tuple[Hash, ...], *allow: str, index: str | None = INDEX) -> str:
        source = Source(kind="registry", index=index)
        with pytest.raises(LockError) as caught:
            choose(pin(self.FILE, hashes=hashes, source=source), linux(), hashed=True, allow_weak=allow)
        return caught.value.code

    def test_a_missing_or_weak_hash_is_refused(self) -> None:
        assert self.refused(()) == "lock.hash-missing"
        assert self.refused(WEAK) == "lock.hash-weak"

    def test_only_the_chosen_file_needs_one(self) -> None:
        bare = Artifact(filename="foo-1.0.tar.gz", url=f"{FILES}/foo-1.0.tar.gz")
        both = pin(self.FILE)
        both = Pin(name=both.name, version="1.0", source=both.source, artifacts=(bare, *both.artifacts))
        assert choose(both, linux(), hashed=True).kind == "wheel"

    def test_a_strong_one_beside_weak_ones_is_enough(self) -> None:
        assert choose(pin(self.FILE, hashes=WEAK + STRONG), linux(), hashed=True).kind == "wheel"

    def test_locks_without_hashes_by_nature_are_not_refused(self) -> None:
        assert choose(pin(self.FILE, hashes=()), linux(), hashed=False).kind == "wheel"

    def test_the_user_may_allow_an_index_or_a_host_and_nothing_like_it(self) -> None:
        for allowed in (INDEX, f"{INDEX}/", "index.example.org", "files.example.org"):
            assert (
                choose(pin(self.FILE, hashes=()), linux(), hashed=True, allow_weak=(allowed,)).kind == "wheel"
            )
        for other in ("https://index.example.org", "example.org", "index.example.org.evil.example", ""):
            assert self.refused((), other) == "lock.hash-missing"
        with_secret = Source(kind="registry", index="https://user:secret@index.example.org/simple")
        assert choose(
            pin(self.FILE, hashes=(), source=with_secret), linux(), hashed=True, allow_weak=(INDEX,)
        ).artifact

    def test_the_hashes_of_a_pin_count_where_files_have_none(self) -> None:
        bare = Artifact(filename=self.FILE, url=f"{FILES}/{self.FILE}")
        source = Source(kind="registry")
        with_hashes = Pin(
            name=canonicalize_name("foo"), version="1.0", source=source, artifacts=(bare,), hashes=STRONG
        )
        assert choose(with_hashes, linux(), hashed=True).artifact is bare
        weak = Pin(name=canonicalize_name("foo"), version="1.0", source=source, hashes=WEAK)
        with pytest.raises(LockError) as caught:
            choose(weak, linux(), hashed=True)
        assert caught.value.code == "lock.hash-weak"
