"""Is a bundle what its entries would give today: every name, and every file that of the entry or equal to it.

The bundle is built once more in tmp/ and the two trees are compared. What entries hold is `verify`'s to find
in the entries; a file that is a link to an entry's is not read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sprawld.errors import StoreError
from sprawld.model import Digest
from sprawld.store import bundles, manifest

from .bundle import build_bundle, plan_bundles
from .pathset import SetEntry
from .setcheck import Difference, compare

if TYPE_CHECKING:
    from sprawld.store.tree import Store

__all__ = ["check_bundle"]


def check_bundle(store: Store, name: str) -> list[Difference]:
    """Return how a bundle, whose entries are sound, differs from what it should be, sorted by path.

    Blocks. Of a bundle that another release laid out nothing is known, and nothing is returned.
    """
    try:
        found = bundles.read_record(store.root, name)
    except StoreError:
        return [Difference("description", bundles.DESCRIPTION)]
    plans = plan_bundles(
        [_entry(store, *pair) for pair in zip(found.entries, found.packages, strict=True)], store.root
    )
    if [plan.digest for plan in plans] != [name]:
        return []
    with store.staging("verify-") as staged:
        build_bundle(staged, plans[0], store.root)
        differences = compare(store.bundle_path(name), staged)
    # It also tells how many files could not be linked, which another day need not be the same.
    return [one for one in differences if one != ("changed", bundles.DESCRIPTION)]


def _entry(store: Store, digest: str, package: str) -> SetEntry:
    name, _, version = package.rpartition("==")
    summary = manifest.read_summary(store.entry_path(digest) / manifest.NAME)
    return SetEntry(digest=Digest(digest), name=name, version=version, summary=summary)
