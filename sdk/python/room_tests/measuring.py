"""What an adapter costs beside its framework, in processor time."""

import json
import math
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

from livekit import rtc

ROUNDS = 5
"""The best of so many counts: whatever else runs on the machine only adds."""
FRAME_SECS = 0.01


Work = Callable[[], Awaitable[int]]
"""Does something, and says how often."""


async def line(what: str, alone: Work, both: Work, rounds: int = ROUNDS) -> dict[str, Any]:
    """One line of the report: microseconds of processor time for each thing, of the framework alone and with the adapter, in turns."""
    found = {alone: math.inf, both: math.inf}
    for _ in range(rounds):
        for work in found:
            start = time.process_time()
            count = await work()
            found[work] = min(found[work], (time.process_time() - start) / count * 1e6)
    ratio = round(found[both] / found[alone], 2)
    return {"what": what, "alone_us": round(found[alone], 2), "with_us": round(found[both], 2), "ratio": ratio}


def frame(rate: int) -> rtc.AudioFrame:
    """A frame of a tone."""
    count = int(rate * FRAME_SECS)
    samples = array("h", (int(8_000 * math.sin(2 * math.pi * 440 * at / rate)) for at in range(count)))
    return rtc.AudioFrame(samples.tobytes(), rate, 1, count)


def report(lines: list[dict[str, Any]]) -> None:
    """For `bench.py`."""
    json.dump(lines, sys.stdout)
