"""When a subscription has to be asked for again."""

import pytest

from baton.subscriptions import GOES_ON_MAX_SECS, TRACKS_MAX, Subscriptions

SID = "TR_a"


class Bench:
    """Subscriptions, and a clock that stands on whole steps of 100 ms."""

    def __init__(self) -> None:
        self.now = 50.0
        self.subscriptions: Subscriptions[str] = Subscriptions()

    def want(self, wanted: bool) -> bool:
        return self.subscriptions.want(self.now, SID, wanted)

    def asked(self, secs: float) -> list[float]:
        """When it is asked for again within so many seconds from now."""
        start, times = self.now, []
        while (due := self.subscriptions.poll_timeout()) is not None and due <= start + secs:
            self.now = due
            if self.subscriptions.poll(due):
                times.append(round(due - start, 3))
        self.now = start + secs
        return times


def test_what_never_comes_is_asked_for_at_growing_intervals_and_then_no_more() -> None:
    bench = Bench()
    assert bench.want(True)
    assert not bench.want(True)
    assert bench.asked(600) == [1.0, 3.0, 7.0, 15.0]
    assert bench.want(False)
    assert bench.want(True)
    assert bench.asked(600) == [1.0, 3.0, 7.0, 15.0]


def test_what_comes_is_not_asked_for() -> None:
    bench = Bench()
    bench.want(True)
    bench.subscriptions.came(SID, "track")
    assert bench.asked(600) == []
    assert bench.subscriptions.track(SID) == "track"


def test_what_comes_after_it_was_asked_for_again_is_asked_for_no_more() -> None:
    bench = Bench()
    bench.want(True)
    assert bench.asked(2) == [1.0]
    bench.subscriptions.came(SID, "track")
    assert bench.asked(600) == []


def test_what_is_wanted_no_longer_is_not_asked_for() -> None:
    bench = Bench()
    bench.want(True)
    bench.want(False)
    assert bench.asked(600) == []


@pytest.mark.parametrize("told_early", [True, False])
def test_a_track_that_goes_on_is_kept_and_one_that_does_not_is_asked_for(told_early: bool) -> None:
    bench = Bench()
    bench.want(True)
    bench.subscriptions.came(SID, "track")
    bench.asked(5)
    bench.want(False)
    if told_early:
        assert bench.subscriptions.gone(SID)
    bench.want(True)
    if not told_early:
        assert not bench.subscriptions.gone(SID)
    assert bench.subscriptions.track(SID) == "track"
    assert bench.asked(2) == [1.0]
    bench.subscriptions.came(SID, "another")
    assert bench.subscriptions.track(SID) == "another"
    assert bench.asked(600) == []


def test_a_track_that_was_not_wanted_for_long_has_ended() -> None:
    bench = Bench()
    bench.want(True)
    bench.subscriptions.came(SID, "track")
    bench.want(False)
    bench.subscriptions.gone(SID)
    bench.asked(GOES_ON_MAX_SECS + 1)
    bench.want(True)
    assert bench.subscriptions.track(SID) is None


def test_an_end_that_nobody_asked_for_is_left_to_the_server() -> None:
    bench = Bench()
    bench.want(True)
    bench.subscriptions.came(SID, "track")
    bench.asked(5)
    bench.subscriptions.gone(SID)
    assert bench.asked(600) == []


def test_a_track_that_is_published_anew_is_subscribed_anew() -> None:
    bench = Bench()
    bench.want(True)
    bench.subscriptions.came(SID, "track")
    bench.subscriptions.forget(SID)
    assert bench.subscriptions.track(SID) is None
    assert bench.want(True)
    assert bench.asked(2) == [1.0]


def test_no_more_is_kept_than_the_limit_and_what_is_wanted_is_kept() -> None:
    bench = Bench()
    bench.want(True)
    for number in range(2 * TRACKS_MAX):
        bench.subscriptions.came(f"TR_{number}", "track")
    known = [number for number in range(2 * TRACKS_MAX) if bench.subscriptions.track(f"TR_{number}")]
    assert len(known) == TRACKS_MAX - 1
    assert not bench.want(True)
