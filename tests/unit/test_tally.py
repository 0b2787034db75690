"""What a waiting client is told: the stage and the name that are really waited for."""

from __future__ import annotations

from sprawld.progress import Tally, Transfer


def test_the_package_that_is_waited_for_is_named() -> None:
    tally = Tally(total=2)
    assert tally.progress().stage == "prepare"
    large, small = Transfer("large", 9), Transfer("small", 2)
    tally.transfers += [large, small]
    large.stage = small.stage = "fetch"
    small.add(1)
    assert (tally.progress().stage, tally.progress().name) == ("fetch", "small")
    small.add(1)
    small.stage = "done"
    tally.done = 1
    assert (tally.progress().stage, tally.progress().name) == ("fetch", "large")
    large.add(9)
    large.stage = "unpack"
    event = tally.progress()
    assert (event.stage, event.name, event.bytes_done, event.bytes_total) == ("unpack", "large", 11, 11)
    large.stage = "done"
    tally.done = 2
    assert (tally.progress().stage, tally.progress().name) == ("link", "")
