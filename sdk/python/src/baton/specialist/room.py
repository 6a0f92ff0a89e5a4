"""The room as LiveKit presents it: the only module that knows of `rtc.Room`.

A `Connection` closes its tracks to everybody but Baton before it publishes, hands on the packets of Baton alone, and
hears the caller alone. It decides nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from livekit import rtc

from baton.errors import BatonError
from baton.frame import TOPIC
from baton.ids import Identity
from baton.specialist.tasks import Tasks
from baton.subscriptions import Subscriptions
from baton.vigil import Sample

JOIN_MAX_SECS = 15.0
"""The longest that joining may take."""
SEND_MAX_SECS = 5.0
"""The longest that one packet, or one request to the server, may take."""
CLOSE_MAX_SECS = 2.0
"""The longest that leaving may take."""
SAMPLE_MAX_SECS = 0.5
"""The longest that counting packets may take."""
PACKETS_MAX = 256
"""Packets that may wait to be sent; beyond them one is lost, as in the network, and sent again by the link."""

_VOICE = "voice"
"""The name of the voice's track; one that it moves to has a number behind it."""

logger = logging.getLogger("baton")

_T = TypeVar("_T")

_OVER = frozenset(
    {
        rtc.DisconnectReason.CLIENT_INITIATED,
        rtc.DisconnectReason.PARTICIPANT_REMOVED,
        rtc.DisconnectReason.ROOM_DELETED,
        rtc.DisconnectReason.ROOM_CLOSED,
    }
)
_CALLER_RANKS = {
    rtc.ParticipantKind.PARTICIPANT_KIND_SIP: 0,
    rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD: 1,
}


class ConnectionLostError(BatonError):
    """The room cannot be joined, or the connection to it has ended."""


class Observer(Protocol):
    """Whom a `Connection` tells what happens."""

    def packet(self, data: bytes) -> None:
        """Baton has sent a packet."""

    def caller_track(self, sid: str, track: rtc.Track) -> None:
        """A track of the caller's can be heard."""

    def caller_track_gone(self, sid: str) -> None:
        """It no longer can."""

    def reconnecting(self) -> None:
        """The connection is being restored."""

    def reconnected(self) -> None:
        """The connection is back."""

    def orchestrator_joined(self) -> None:
        """Baton has joined: another process of it, if there was one before."""

    def ended(self, broken: str | None) -> None:
        """The connection has ended for good, and why if that was not meant to be."""

    def extra_track(self, track: rtc.LocalTrack) -> None:
        """The agent has published another track."""


@dataclass(frozen=True, slots=True)
class _Packet:
    payload: bytes
    reliable: bool


@dataclass(slots=True)
class _Outlet:
    """A track of ours that the voice leaves by."""

    name: str
    sid: str


class Connection:
    """Our participant in a room, with one audio track, or two while the voice moves from one to the other."""

    def __init__(self, room: rtc.Room, orchestrator: Identity, observer: Observer) -> None:
        self._room = room
        self._orchestrator = orchestrator
        self._observer = observer
        self._caller: str | None = None
        self._wants_caller = False
        self._subscriptions: Subscriptions[rtc.Track] = Subscriptions()
        self._wished = asyncio.Event()
        self._voice = _Outlet(_VOICE, "")
        self._fresh: _Outlet | None = None
        self._former: _Outlet | None = None
        self._tracks = 1
        self._outbox: asyncio.Queue[_Packet] = asyncio.Queue(PACKETS_MAX)
        self._tasks = Tasks()
        self._handlers: dict[str, Callable[..., None]] = {
            "data_received": self._on_data,
            "participant_connected": self._on_joined,
            "track_published": self._on_published,
            "track_unpublished": self._on_unpublished,
            "track_subscribed": self._on_subscribed,
            "track_unsubscribed": self._on_unsubscribed,
            "local_track_published": self._on_local_track,
            "reconnecting": self._on_reconnecting,
            "reconnected": self._on_reconnected,
            "disconnected": self._on_disconnected,
        }

    @property
    def room(self) -> rtc.Room:
        """The room itself."""
        return self._room

    async def join(self, url: str, token: str) -> None:
        """Joins, subscribed to nothing. Raises `ConnectionLostError`."""
        options = rtc.RoomOptions(auto_subscribe=False)
        await _within("joining the room", JOIN_MAX_SECS, self._room.connect(url, token, options))

    async def close_permission(self) -> None:
        """Closes our tracks to everybody but Baton. To be done before anything is published, and after each reconnect."""
        self.permit(None)
        # LiveKit does not answer this request. One behind it that it does answer says that both have been taken.
        behind = self._room.local_participant.set_attributes({"baton.orchestrator": self._orchestrator})
        await _within("closing the track permission", SEND_MAX_SECS, behind)

    def permit(self, caller: str | None) -> None:
        """Opens our voice to the caller, or to Baton alone. Who was subscribed and is not named is so no longer."""
        permissions = [rtc.ParticipantTrackPermission(participant_identity=self._orchestrator, allow_all=True)]
        if caller is not None:
            voice = rtc.ParticipantTrackPermission(participant_identity=caller, allowed_track_sids=[self.track_sid])
            permissions.append(voice)
        self._room.local_participant.set_track_subscription_permissions(
            allow_all_participants=False, participant_permissions=permissions
        )

    def want_program(self, wanted: bool) -> None:
        """Subscribes to Baton's program track, to see that its packets come. What is in them is not looked at."""
        for publication in self._program_tracks():
            changes = self._want(publication, wanted)
            if changes or (publication.subscribed != wanted and self._track_of(publication) is None):
                publication.set_subscribed(wanted)

    async def sample(self) -> Sample | None:
        """Counts the packets that have come; None if that cannot be done just now."""
        try:
            async with asyncio.timeout(SAMPLE_MAX_SECS):
                program: int | None = None
                for publication in self._program_tracks():
                    track = self._track_of(publication)
                    if track is None:
                        continue
                    for each in await track.get_stats():
                        if each.HasField("inbound_rtp"):
                            program = (program or 0) + each.inbound_rtp.received.packets_received
                stats = await self._room.get_rtc_stats()
        except Exception as error:  # LiveKit raises no type of its own.
            logger.debug("packets are not counted: %s", error)
            return None
        both = [*stats.publisher_stats, *stats.subscriber_stats]
        pairs = [each.candidate_pair.candidate_pair for each in both if each.HasField("candidate_pair")]
        return Sample(program, sum(pair.packets_received for pair in pairs))

    async def publish(self, source: rtc.AudioSource) -> None:
        """Publishes the voice."""
        for event, handler in self._handlers.items():
            self._room.on(event, handler)  # type: ignore[arg-type]
        await self._publish(self._voice, source)
        self._tasks.start(self._send_all(), "baton: outbox")
        self._tasks.start(self._ask_again(), "baton: subscriptions")

    async def publish_fresh(self, source: rtc.AudioSource) -> rtc.LocalTrackPublication:
        """Publishes a track beside the voice's, closed to all but Baton, for the voice to move to."""
        self._tracks += 1
        fresh = _Outlet(f"{_VOICE}-{self._tracks}", "")
        publication = await self._publish(fresh, source)
        self._fresh = fresh
        return publication

    def move_voice(self) -> None:
        """The fresh track is the voice's from here on, and the former one is to be taken away."""
        if self._fresh is not None:
            self._former, self._voice, self._fresh = self._voice, self._fresh, None

    async def take_former_away(self) -> None:
        """Takes the track away on which the voice was before, if there is one."""
        former, self._former = self._former, None
        if former is not None:
            unpublishing = self._room.local_participant.unpublish_track(self._sid_of(former))
            await _within("taking a track away", SEND_MAX_SECS, unpublishing)

    async def _publish(self, outlet: "_Outlet", source: rtc.AudioSource) -> rtc.LocalTrackPublication:
        """DTX is off, so that Baton's buffers are filled before the first word."""
        track = rtc.LocalAudioTrack.create_audio_track(outlet.name, source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)
        publishing = self._room.local_participant.publish_track(track, options)
        publication = await _within("publishing the audio track", SEND_MAX_SECS, publishing)
        outlet.sid = publication.sid
        return publication

    @property
    def sid(self) -> str:
        """The sid of our participant; another one after a full reconnect."""
        return self._room.local_participant.sid

    @property
    def track_sid(self) -> str:
        """The sid of our voice, as published last."""
        return self._sid_of(self._voice)

    @property
    def fresh_sid(self) -> str:
        """The sid of the fresh track; empty if there is none."""
        return "" if self._fresh is None else self._sid_of(self._fresh)

    def _sid_of(self, outlet: "_Outlet") -> str:
        publications = self._room.local_participant.track_publications
        return next((sid for sid, each in publications.items() if each.name == outlet.name), outlet.sid)

    @property
    def caller(self) -> str | None:
        """The caller's identity, once known; it stays when the caller is away."""
        return self._caller

    def pin_caller(self, identity: str) -> None:
        """Baton has said who the caller is."""
        if self._caller != identity:
            self._caller = identity
            self._apply_wish()

    def find_caller(self) -> str | None:
        """The caller's identity: as Baton has said, else the phone that has been here longest, else the web client."""
        if self._caller is None:
            found = [
                (rank, participant.joined_at, identity)
                for identity, participant in self._room.remote_participants.items()
                if (rank := _CALLER_RANKS.get(participant.kind)) is not None
            ]
            self._caller = min(found, key=lambda each: (each[0], str(each[1]), each[2]))[2] if found else None
        return self._caller

    def send(self, payload: bytes, reliable: bool) -> None:
        """Sends a packet to Baton, soon. A full outbox loses it."""
        try:
            self._outbox.put_nowait(_Packet(payload, reliable))
        except asyncio.QueueFull:
            logger.debug("packet lost, the outbox is full")

    @property
    def caller_has_audio(self) -> bool:
        """Whether there is something of the caller's to be heard."""
        return any(not publication.muted for publication in self._caller_tracks())

    def want_caller(self, wanted: bool) -> None:
        """Subscribes to the caller, or no longer."""
        if wanted != self._wants_caller:
            self._wants_caller = wanted
            self._apply_wish()
            # Of a track that goes on, or that Baton had subscribed before it was wanted here, no event tells.
            for publication in self._caller_tracks() if wanted else ():
                track = self._track_of(publication)
                if track is not None:
                    self._observer.caller_track(publication.sid, track)

    def repeat_wish(self) -> None:
        """Says once more that the caller is wanted: Baton keeps the caller from a specialist until it has said Hello, and
        LiveKit loses such a request while a full reconnect is under way."""
        for publication in self._caller_tracks():
            if self._wants_caller:
                publication.set_subscribed(True)

    async def close(self) -> None:
        """Stops to listen and to send, and leaves the room."""
        self.detach()
        await self._tasks.stop()
        try:
            async with asyncio.timeout(CLOSE_MAX_SECS):
                await self._room.disconnect()
        except TimeoutError:
            logger.debug("leaving the room took too long")

    def detach(self) -> None:
        """Stops to follow the room's events."""
        for event, handler in self._handlers.items():
            self._room.off(event, handler)  # type: ignore[arg-type]

    def _apply_wish(self) -> None:
        if self._wants_caller:
            self.find_caller()
        for publication in self._caller_tracks():
            changes = self._want(publication, self._wants_caller)
            if changes or (publication.subscribed and not self._wants_caller):
                publication.set_subscribed(self._wants_caller)

    def _want(self, publication: rtc.RemoteTrackPublication, wanted: bool) -> bool:
        """Whether that has to be said. What `publication` tells is what has come of it, and late."""
        changes = self._subscriptions.want(time.monotonic(), publication.sid, wanted)
        self._wished.set()
        return changes

    def _track_of(self, publication: rtc.RemoteTrackPublication) -> rtc.Track | None:
        """The track of a subscription, also where LiveKit knows of none and it goes on all the same."""
        return publication.track or self._subscriptions.track(publication.sid)

    async def _ask_again(self) -> None:
        """Subscribes once more to what nothing has come of."""
        while True:
            due = self._subscriptions.poll_timeout()
            self._wished.clear()
            try:
                async with asyncio.timeout(None if due is None else max(due - time.monotonic(), 0.0)):
                    await self._wished.wait()
            except TimeoutError:
                unheard = set(self._subscriptions.poll(time.monotonic()))
                for publication in (*self._caller_tracks(), *self._program_tracks()):
                    if publication.sid in unheard:
                        logger.debug("no track has come, asking again")
                        publication.set_subscribed(True)

    def _caller_tracks(self) -> list[rtc.RemoteTrackPublication]:
        return [] if self._caller is None else self._audio_of(self._caller)

    def _program_tracks(self) -> list[rtc.RemoteTrackPublication]:
        return self._audio_of(self._orchestrator)

    def _audio_of(self, identity: str) -> list[rtc.RemoteTrackPublication]:
        participant = self._room.remote_participants.get(identity)
        if participant is None:
            return []
        return [each for each in participant.track_publications.values() if each.kind == rtc.TrackKind.KIND_AUDIO]

    def _on_data(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant
        # The server stamps the sender; nobody but Baton is listened to.
        if (
            packet.topic == TOPIC
            and sender is not None
            and sender.identity == self._orchestrator
            and sender.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        ):
            self._observer.packet(packet.data)

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        self._apply_wish()
        if (
            participant.identity == self._orchestrator
            and participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        ):
            self._observer.orchestrator_joined()

    def _on_published(self, publication: rtc.RemoteTrackPublication, *_: object) -> None:
        self._subscriptions.forget(publication.sid)
        self._apply_wish()

    def _on_unpublished(self, publication: rtc.RemoteTrackPublication, *_: object) -> None:
        self._subscriptions.forget(publication.sid)
        self._observer.caller_track_gone(publication.sid)

    def _on_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._subscriptions.came(publication.sid, track)
        if participant.identity == self._caller and publication.kind == rtc.TrackKind.KIND_AUDIO:
            self._observer.caller_track(publication.sid, track)

    def _on_unsubscribed(self, _: rtc.Track, publication: rtc.RemoteTrackPublication, *__: object) -> None:
        # An earlier subscription may be said to have ended when the next one has begun.
        if self._subscriptions.gone(publication.sid):
            self._observer.caller_track_gone(publication.sid)

    def _on_local_track(self, publication: rtc.LocalTrackPublication, track: rtc.LocalTrack) -> None:
        if publication.kind == rtc.TrackKind.KIND_AUDIO and not _is_voice(publication.name):
            self._observer.extra_track(track)

    def _on_reconnecting(self) -> None:
        self._observer.reconnecting()

    def _on_reconnected(self) -> None:
        self._apply_wish()
        self.repeat_wish()
        self._observer.reconnected()

    def _on_disconnected(self, reason: object = None) -> None:
        over = reason in _OVER
        self._observer.ended(None if over else f"livekit says {reason}")

    async def _send_all(self) -> None:
        while True:
            packet = await self._outbox.get()
            sending = self._room.local_participant.publish_data(
                packet.payload,
                reliable=packet.reliable,
                destination_identities=[self._orchestrator],
                topic=TOPIC,
            )
            try:
                await _within("sending a packet", SEND_MAX_SECS, sending)
            except ConnectionLostError as error:
                logger.debug("packet not sent: %s", error)


def _is_voice(name: str) -> bool:
    head, mark, number = name.partition("-")
    return head == _VOICE and (not mark or number.isdecimal())


async def _within(what: str, limit_secs: float, work: Coroutine[Any, Any, _T]) -> _T:
    try:
        async with asyncio.timeout(limit_secs):
            return await work
    except TimeoutError:
        raise ConnectionLostError(f"{what} took longer than {limit_secs:g} s") from None
    except Exception as error:
        raise ConnectionLostError(f"{what} failed: {error}") from error
