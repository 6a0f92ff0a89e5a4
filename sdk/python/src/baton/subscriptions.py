"""What of the others' tracks is subscribed to, and when that has to be said once more. Pure.

LiveKit's SDKs may tell of no track when a subscription follows at once on the end of the one before. The server takes both into
one negotiation, and the track of before just goes on: it is kept. Or the two requests reach the server in the wrong order: who has
heard of no track for a while asks again.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

ASK_AGAIN_FIRST_SECS = 1.0
"""How long nothing may have come of a subscription before it is asked for again, first."""
ASK_AGAIN_LAST_SECS = 8.0
"""The same at last: it doubles until then."""
GOES_ON_MAX_SECS = 5.0
"""A track that was not wanted for longer has ended: the server has said so to LiveKit by then."""
TRACKS_MAX = 256
"""Tracks that are known of; beyond them the oldest one that is not wanted is forgotten."""

_Track = TypeVar("_Track")


@dataclass(slots=True)
class _Known(Generic[_Track]):
    wanted: bool = False
    track: _Track | None = None
    """As it was subscribed last."""
    told: bool = False
    """Whether LiveKit has told of a track, and not of its end since."""
    unwanted_at: float | None = None
    ask_at: float | None = None
    pause_secs: float = ASK_AGAIN_FIRST_SECS


class Subscriptions(Generic[_Track]):
    """Subscriptions by the track's sid. Times are in seconds."""

    def __init__(self) -> None:
        self._known: dict[str, _Known[_Track]] = {}

    def want(self, now: float, sid: str, wanted: bool) -> bool:
        """Whether the server has to be told that this track is wanted, or is so no longer."""
        known = self._of(sid)
        if known.wanted == wanted:
            return False
        known.wanted = wanted
        if not wanted:
            known.unwanted_at = now
        elif known.unwanted_at is not None and now - known.unwanted_at > GOES_ON_MAX_SECS and not known.told:
            known.track = None
        known.pause_secs = ASK_AGAIN_FIRST_SECS
        known.ask_at = now + ASK_AGAIN_FIRST_SECS if wanted else None
        return True

    def came(self, sid: str, track: _Track) -> None:
        """LiveKit says that this is the track."""
        known = self._of(sid)
        known.track = track
        known.told = True

    def gone(self, sid: str) -> bool:
        """LiveKit says that the track has ended: whether that is so. Where it is wanted anew meanwhile it may go on."""
        known = self._of(sid)
        known.told = False
        return not known.wanted

    def forget(self, sid: str) -> None:
        """It is no longer published, or anew."""
        self._known.pop(sid, None)

    def track(self, sid: str) -> _Track | None:
        """The track as it was subscribed last. One that has ended is silent."""
        known = self._known.get(sid)
        return None if known is None else known.track

    def poll(self, now: float) -> list[str]:
        """What has to be asked for again."""
        unheard = []
        for sid, known in self._known.items():
            if known.ask_at is None or now < known.ask_at:
                continue
            known.ask_at = None
            if known.told:
                continue
            unheard.append(sid)
            if known.pause_secs < ASK_AGAIN_LAST_SECS:
                known.pause_secs *= 2
                known.ask_at = now + known.pause_secs
        return unheard

    def poll_timeout(self) -> float | None:
        """When `poll` is due; None for never."""
        return min((known.ask_at for known in self._known.values() if known.ask_at is not None), default=None)

    def _of(self, sid: str) -> _Known[_Track]:
        found = self._known.get(sid)
        if found is None:
            unwanted = (each for each, known in self._known.items() if not known.wanted)
            if len(self._known) >= TRACKS_MAX and (oldest := next(unwanted, None)) is not None:
                del self._known[oldest]
            found = self._known[sid] = _Known()
        return found
