"""Which tones are in what somebody has heard."""

import math
from array import array
from typing import Any

from baton.kit.phone import SAMPLE_RATE, Phone

_WINDOW_SECS = 0.1
_AMPLITUDE_MIN = 250
"""From this on a tone is heard; full scale is 32,768."""


def tone_ms(samples: "array[int]", hz: int, rate: int) -> int:
    """How long a tone is heard in it, in milliseconds, whatever else is."""
    count = int(rate * _WINDOW_SECS)
    windows = range(0, len(samples) - count + 1, count)
    return sum(_amplitude(samples[at : at + count], hz, rate) >= _AMPLITUDE_MIN for at in windows) * int(1_000 * _WINDOW_SECS)


class Heard:
    """What the caller hears from now on, on the program track."""

    def __init__(self, phone: Phone) -> None:
        (self._samples,) = phone.samples.values()
        self._looked = self._since = len(self._samples)
        self._ms: dict[int, int] = {}
        self._at: dict[int, int] = {}

    def ms(self, hz: int) -> int:
        """How long a tone was heard, in milliseconds."""
        since = self._at.get(hz, self._since)
        whole = (len(self._samples) - since) // (SAMPLE_RATE // 10) * (SAMPLE_RATE // 10)
        new: Any = array("h", self._samples[since : since + whole])
        self._at[hz] = since + whole
        self._ms[hz] = self._ms.get(hz, 0) + tone_ms(new, hz, SAMPLE_RATE)
        return self._ms[hz]


def _amplitude(samples: "array[int]", hz: int, rate: int) -> float:
    """Of one pitch, by Goertzel's algorithm."""
    turn = 2 * math.cos(2 * math.pi * hz / rate)
    one, two = 0.0, 0.0
    for sample in samples:
        one, two = sample + turn * one - two, one
    power = one * one + two * two - turn * one * two
    return 2 * math.sqrt(max(power, 0.0)) / len(samples)
