"""How near to the original recordings are, in the opinion of a model of listeners (MOS-LQO, 1 to 5).

It reads a JSON object on stdin: `reference`, a WAV file; `segments`, pairs of places in it; `recordings`, WAV files that hold it somewhere;
`visqol`, whether the slower second opinion is wanted. For each recording it prints a list with an object for each segment: `at`,
where it begins in the recording, `pesq` (ITU-T P.862.2, wideband) and `visqol` (speech mode).
"""

import json
import sys

import numpy
import soundfile
from pesq import pesq
from scipy.signal import correlate, resample_poly

RATE_HZ = 16_000
# How far a segment may have moved against the whole.
MOVED_MAX = RATE_HZ


def read(path: str) -> tuple[numpy.ndarray, int]:
    samples, rate = soundfile.read(path)
    return resample_poly(samples, RATE_HZ, rate), rate


def place(inside: numpy.ndarray, what: numpy.ndarray) -> int:
    """Where `what` is most likely to begin."""
    return int(numpy.argmax(correlate(inside, what, mode="valid", method="fft")))


def judge(reference: numpy.ndarray, segments: list[list[int]], path: str, visqol) -> list[dict[str, float]]:
    recording, rate = read(path)
    begin = place(recording, reference)
    verdicts = []
    for start, end in segments:
        original = reference[start:end]
        low = max(begin + start - MOVED_MAX, 0)
        at = low + place(recording[low : begin + end + MOVED_MAX], original)
        heard = recording[at : at + end - start]
        verdict = {"at": at * rate // RATE_HZ, "pesq": float(pesq(RATE_HZ, original, heard, "wb")), "visqol": None}
        if visqol:
            verdict["visqol"] = float(visqol.measure_from_arrays(original, heard, sample_rate=RATE_HZ).moslqo)
        verdicts.append(verdict)
    return verdicts


def main() -> None:
    work = json.load(sys.stdin)
    visqol = None
    if work["visqol"]:
        from visqol import VisqolApi

        visqol = VisqolApi()
        visqol.create(mode="speech")
    reference, _ = read(work["reference"])
    print(json.dumps([judge(reference, work["segments"], path, visqol) for path in work["recordings"]]))


main()
