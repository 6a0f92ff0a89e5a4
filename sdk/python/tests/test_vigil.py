"""Whether Baton is gone."""

import pytest

from baton.vigil import Change, Sample, Vigil

STEP_SECS = 0.1


class Bench:
    """A vigil, and what comes in steps of 100 ms."""

    def __init__(self, timeout_secs: float = 1.0) -> None:
        self.now = 50.0
        self.vigil = Vigil(self.now, timeout_secs)
        self.program = 0
        self.all = 0

    def steps(self, count: int, comes: set[str], holds: bool = True) -> tuple[int, Change] | None:
        """What is to be done within so many steps, and in which."""
        for step in range(1, count + 1):
            self.now = round(self.now + STEP_SECS, 3)
            if "frames" in comes:
                self.vigil.frame(self.now)
            self.program += "program" in comes
            self.all += bool(comes)
            self.vigil.sample(self.now, Sample(self.program, self.all))
            change = self.vigil.poll(self.now, holds)
            if change is not None:
                return step, change
        return None


ALL = {"frames", "program", "others"}
OTHERS = {"others"}


@pytest.mark.parametrize("back", [{"frames"}, {"program"}, ALL])
def test_a_baton_that_is_gone_opens_the_track_after_the_timeout_and_closes_it_when_it_is_back(back: set[str]) -> None:
    bench = Bench()
    assert bench.steps(20, ALL) is None
    assert bench.steps(100, OTHERS) in [(10, Change.OPEN), (11, Change.OPEN)]
    assert bench.steps(100, OTHERS) is None
    assert bench.steps(5, back) == (1, Change.CLOSE)
    assert bench.steps(20, back) is None


def test_heartbeats_that_stall_while_audio_flows_open_nothing_and_the_other_way_round() -> None:
    bench = Bench()
    bench.steps(5, ALL)
    assert bench.steps(1_000, {"program"}) is None
    assert bench.steps(1_000, {"frames"}) is None


def test_a_broken_network_of_ours_opens_nothing() -> None:
    bench = Bench()
    bench.steps(5, ALL)
    assert bench.steps(300, set()) is None


def test_our_own_reconnect_starts_anew() -> None:
    bench = Bench()
    bench.steps(5, ALL)
    bench.steps(5, set())
    bench.vigil.restart(bench.now)
    assert bench.steps(9, OTHERS) is None
    assert bench.steps(9, OTHERS) is not None


def test_before_a_packet_of_the_program_was_seen_nothing_opens() -> None:
    bench = Bench()
    bench.steps(5, {"frames"})
    assert bench.steps(300, OTHERS) is None


def test_who_has_not_the_baton_never_opens() -> None:
    bench = Bench()
    bench.steps(5, ALL, holds=False)
    assert bench.steps(300, OTHERS, holds=False) is None


def test_a_timeout_of_zero_never_opens() -> None:
    bench = Bench(0.0)
    bench.steps(5, ALL)
    assert bench.steps(300, OTHERS) is None
    assert bench.vigil.interval_secs is None
