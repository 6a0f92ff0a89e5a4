"""What the caller says in speech: the committed clips, whole or sentence by sentence, and how an ear of a script tells them apart."""

import wave
from array import array
from pathlib import Path

from livekit import rtc

# An agent that knows nothing of Baton uses this, too.
CLIPS = Path(__file__).resolve().parents[3] / "tests/clips"
PHONE_RATE = 48_000
_AUDIBLE = 300
"""From this peak on it is speech; full scale is 32,768."""
_STEP_SECS = 0.01
_PAUSE_SECS = 0.15
"""A pause between two sentences."""


def clip(name: str) -> "array[int]":
    """A clip, at the rate of the phone."""
    with wave.open(str(CLIPS / name)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    resampler = rtc.AudioResampler(rate, PHONE_RATE)
    frames = resampler.push(rtc.AudioFrame(data, rate, 1, len(data) // 2)) + resampler.flush()
    return array("h", b"".join(bytes(frame.data) for frame in frames))


def sentence(name: str, number: int) -> "array[int]":
    """One sentence of a clip, at the rate of the phone."""
    samples = clip(name)
    step = int(PHONE_RATE * _STEP_SECS)
    loud = [max(map(abs, samples[at : at + step])) > _AUDIBLE for at in range(0, len(samples), step)]
    found: list[list[int]] = []
    for at in (at for at, is_loud in enumerate(loud) if is_loud):
        if found and at - found[-1][1] < _PAUSE_SECS / _STEP_SECS:
            found[-1][1] = at
        else:
            found.append([at, at])
    first, last = found[number]
    return samples[first * step : (last + 1) * step]


def spoken_secs(samples: "array[int]", rate: int) -> float:
    """How long somebody speaks in it, from the first sound to the last."""
    step = max(int(rate * _STEP_SECS), 1)
    loud = [at for at in range(0, len(samples), step) if max(map(abs, samples[at : at + step])) > _AUDIBLE]
    return (loud[-1] - loud[0] + step) / rate if loud else 0.0


def understood(samples: "array[int]", rate: int, lengths: dict[str, float]) -> tuple[str, float]:
    """Which words they are, told by how long they are, and how long that is. Of less than most of the shortest it is not known."""
    secs = spoken_secs(samples, rate)
    if secs < 0.75 * min(lengths.values()):
        return "...", secs
    return min(lengths, key=lambda words: abs(lengths[words] - secs)), secs
