"""When a frame came that is taken late."""

import pytest

from baton.kit.ear import Clock

FRAME_SECS = 0.01


def test_frames_that_are_taken_in_time_came_then() -> None:
    clock = Clock()
    assert [clock.came(each * FRAME_SECS, FRAME_SECS) for each in range(100)] == pytest.approx([each * FRAME_SECS for each in range(100)])


def test_frames_that_a_busy_machine_takes_at_once_came_one_after_another() -> None:
    clock = Clock()
    clock.came(0.0, FRAME_SECS)
    # Half a second is taken at its end.
    came = [clock.came(0.5, FRAME_SECS) for _ in range(50)]
    assert came[0] == pytest.approx(FRAME_SECS)
    assert came == sorted(came) and came[-1] <= 0.5


def test_sound_that_was_left_out_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    clock.came(0.0, FRAME_SECS)
    came = 0.0
    for number in range(1_000):
        now = 1.0 + number * FRAME_SECS
        came = clock.came(now, FRAME_SECS)
    assert now - came < FRAME_SECS
