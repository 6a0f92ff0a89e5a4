"""Baton's side of the protocol, as far as a test of one specialist needs it: it says what it is told to, and notes what comes.

It plays no audio and decides nothing. It stands in for Baton in the kit alone.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from livekit import api, rtc

from baton.assembly import Assembly, AssemblyError
from baton.bodies import (
    Body,
    ContextAppend,
    ContextChunk,
    ContextResult,
    ContextItem,
    Finish,
    Grant,
    Granted,
    Heartbeat,
    Hello,
    NamedTarget,
    Opening,
    Packet,
    Prepare,
    Ready,
    Released,
    Revoke,
    RevokeMode,
    Side,
    StateAccepted,
    StateDenied,
    StatePatch,
    StateResult,
)
from baton.chunks import ChunkLimits
from baton.frame import TOPIC
from baton.ids import CallId, Epoch, HandoffId, Identity, SpecialistName, StreamId, Ticket
from baton.kit.ear import heard
from baton.link import Link, LinkConfig, Received
from baton.memory import Memory
from baton.metadata import DispatchBinding, DispatchMetadata
from baton.reasons import Phase
from baton.specialist.tasks import Tasks

IDENTITY = Identity("agent-baton-kit")
SPECIALIST = SpecialistName("under-test")
ANSWER_MAX_SECS = 10.0
"""How long a specialist may take for an answer."""

_B = TypeVar("_B", bound=Body)


class NoAnswerError(Exception):
    """The specialist did not do what it had to."""


class Orchestrator:
    """One call with one specialist."""

    def __init__(self, url: str, api_key: str, api_secret: str, room: str) -> None:
        self._url = url
        self._keys = (api_key, api_secret)
        self._room_name = room
        self.call = CallId(secrets.token_hex(8))
        self.ticket = Ticket(secrets.token_hex(16))
        self.room = rtc.Room()
        self.specialist: str | None = None
        """The specialist's identity, once it has said Hello."""
        self.takes_patches = True
        """Whether changes of the state are accepted."""
        self.hellos: list[Hello] = []
        """Every Hello, once for each attempt."""
        self.bodies: list[tuple[float, Epoch, Body]] = []
        """All that it has said, in order."""
        self.sounded: list[tuple[float, int]] = []
        """When its tracks were no silence: the time and the peak, for each 10 ms."""
        self.memory = Memory()
        """What the kit has told it."""
        self.targets: tuple[NamedTarget, ...] = ()
        self.epoch = Epoch(0)
        self._handoff = 0
        self._position = 0
        self._version = 0
        self._link = self._new_link()
        self._tasks = Tasks()
        self._assembly = Assembly(ChunkLimits(side=Side.ORCHESTRATOR))
        self._changed = asyncio.Event()
        self._timer: asyncio.Task[Any] | None = None
        self._outbox: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()

    async def join(self) -> None:
        """Joins as an agent does, and listens to whoever may be heard."""
        await self._enter(self.room)
        self._timer = self._tasks.start(self._run(), "kit: link")
        self._tasks.start(self._send(), "kit: outbox")

    @property
    def has_company(self) -> bool:
        """Whether another agent is in the room."""
        kinds = (participant.kind for participant in self.room.remote_participants.values())
        return rtc.ParticipantKind.PARTICIPANT_KIND_AGENT in kinds

    async def dispatch(self, agent_name: str, metadata: Any = None) -> None:
        """Dispatches the agent."""
        text = DispatchMetadata(
            DispatchBinding(self.call, self.ticket, IDENTITY, SPECIALIST), metadata
        ).to_json()
        async with api.LiveKitAPI(self._url.replace("ws", "http", 1), *self._keys) as livekit:
            request = api.CreateAgentDispatchRequest(agent_name=agent_name, room=self._room_name, metadata=text)
            await livekit.agent_dispatch.create_dispatch(request)

    async def kill(self) -> None:
        """Is gone from one moment to the next, as a killed process is."""
        await self._tasks.stop()
        await self.room.disconnect()

    async def rise(self) -> None:
        """Comes back as another process: under the same identity, with a stream of its own."""
        self.room = rtc.Room()
        self._link = self._new_link()
        self._assembly.clear()
        await self.join()

    async def leave(self) -> None:
        """Leaves."""
        await self._tasks.stop()
        await self.room.disconnect()

    # What it says.

    def say(self, body: Body, epoch: Epoch | None = None) -> None:
        """Says something."""
        self._link.send(time.monotonic(), self.epoch if epoch is None else epoch, body)
        self._pump()

    def tell(self, *items: ContextItem) -> None:
        """Hands on items of the conversation, with the next positions."""
        placed = []
        for item in items:
            self._position += 1
            placed.append(replace(item, position=self._position))
        self.memory.take(tuple(placed))
        self.say(ContextAppend(tuple(placed)))

    def tell_state(self, merge_patch: bytes) -> None:
        """Hands on a change of the state."""
        base, self._version = self._version, self._version + 1
        self.memory.merge(merge_patch, self._version)
        self.say(StatePatch(0, base, merge_patch, self._version))

    def prepare(self, opening: Opening, caller: str | None) -> HandoffId:
        """Has it prepare."""
        self._handoff += 1
        packet = Packet(self.memory.position, self.memory.hash, self._version)
        number = HandoffId(self._handoff)
        who = None if caller is None else Identity(caller)
        self.say(Prepare(number, SpecialistName("somebody"), "the kit tests it", opening, packet, who))
        return number

    def grant(self, opening: Opening) -> Epoch:
        """Grants it the baton."""
        self.epoch = Epoch(self.epoch + 1)
        self.say(Grant(self.epoch, opening, HandoffId(self._handoff)))
        return self.epoch

    def revoke(self, mode: RevokeMode) -> Epoch:
        """Takes the baton away."""
        self.epoch = Epoch(self.epoch + 1)
        self.say(Revoke(self.epoch, mode))
        return self.epoch

    def heartbeat(self, holds: bool) -> None:
        """Is alive."""
        holder = Identity(self.specialist) if holds and self.specialist is not None else None
        self._link.heartbeat(self.epoch, Heartbeat(holder, self.epoch, Phase.ACTIVE))
        self._pump()

    # What comes.

    async def wait_for(
        self, kind: type[_B], since: int = 0, holds: Callable[[_B], bool] | None = None, limit_secs: float = ANSWER_MAX_SECS
    ) -> _B:
        """The first body of this kind after so many that were heard. Raises `NoAnswerError`."""
        deadline = time.monotonic() + limit_secs
        while True:
            for _, _, body in self.bodies[since:]:
                if isinstance(body, kind) and (holds is None or holds(body)):
                    return body
            self._changed.clear()
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await self._changed.wait()
            except TimeoutError:
                raise NoAnswerError(f"no {kind.NAME} within {limit_secs:g} s") from None

    def said(self, kind: type[_B], since: int = 0) -> list[_B]:
        """Bodies of this kind after so many that were heard."""
        return [body for _, _, body in self.bodies[since:] if isinstance(body, kind)]

    def sounded_since(self, since: float) -> int:
        """Milliseconds of sound since then."""
        return 10 * sum(1 for when, _ in self.sounded if when >= since)

    async def ready(self, number: HandoffId) -> Ready:
        """Its Ready. Raises `NoAnswerError`."""
        return await self.wait_for(Ready, holds=lambda ready: ready.handoff == number)

    async def granted(self, epoch: Epoch) -> Granted:
        """Its Granted. Raises `NoAnswerError`."""
        return await self.wait_for(Granted, holds=lambda granted: granted.epoch == epoch)

    async def released(self, epoch: Epoch, mode: RevokeMode) -> Released:
        """Its Released. Raises `NoAnswerError`."""
        more = mode.deadline_ms / 1000 if isinstance(mode, Finish) else 0.0
        return await self.wait_for(
            Released, holds=lambda released: released.epoch == epoch, limit_secs=ANSWER_MAX_SECS + more
        )

    # Within.

    def _new_link(self) -> Link:
        stream = StreamId(secrets.randbits(64) or 1)
        return Link(LinkConfig(side=Side.ORCHESTRATOR, call=self.call, stream=stream))

    async def _enter(self, room: rtc.Room) -> None:
        grants = api.VideoGrants(room_join=True, room=self._room_name, agent=True, can_update_own_metadata=True)
        token = api.AccessToken(*self._keys).with_identity(IDENTITY).with_kind("agent").with_grants(grants)
        room.on("data_received", self._on_data)
        room.on("track_published", self._on_published)
        room.on("track_subscribed", self._on_subscribed)
        await room.connect(self._url, token.to_jwt(), rtc.RoomOptions(auto_subscribe=False))
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                self._on_published(publication, participant)

    def _on_published(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if agent and publication.kind == rtc.TrackKind.KIND_AUDIO:
            publication.set_subscribed(True)

    def _on_subscribed(self, track: rtc.Track, *_: object) -> None:
        self._tasks.start(self._listen(track), "kit: ear")

    def _on_data(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant
        if packet.topic != TOPIC or sender is None:
            return
        for event in self._link.handle_frame(time.monotonic(), packet.data):
            if isinstance(event, Received):
                self._received(sender.identity, event.epoch, event.body)
        self._pump()

    def _received(self, sender: str, epoch: Epoch, body: Body) -> None:
        if isinstance(body, Hello):
            self.hellos.append(body)
            if body.ticket.value == self.ticket.value:
                self.specialist = sender
                self._link.welcome(self.epoch)
        if isinstance(body, ContextChunk):
            try:
                whole = self._assembly.take(body)
            except AssemblyError:
                whole = None
            if whole is not None:
                self.bodies.append((time.monotonic(), epoch, whole))
                self._answer(whole)
        self.bodies.append((time.monotonic(), epoch, body))
        self._answer(body)
        self._changed.set()

    def _answer(self, body: Body) -> None:
        """What becomes of what it writes: an agent may wait for that."""
        if isinstance(body, ContextAppend):
            self.say(ContextResult(tuple(item.id for item in body.items)))
        elif isinstance(body, StatePatch):
            if self.takes_patches:
                self._version += 1
                self.memory.merge(body.merge_patch, self._version)
                self.say(StateResult(body.patch, StateAccepted(self._version)))
            else:
                self.say(StateResult(body.patch, StateDenied("/", "the kit allows nothing")))

    def _pump(self) -> None:
        while (transmit := self._link.poll_transmit(time.monotonic())) is not None:
            self._outbox.put_nowait((transmit.payload, transmit.reliable))

    async def _run(self) -> None:
        while True:
            self._link.handle_timeout(time.monotonic())
            self._pump()
            due = self._link.poll_timeout()
            wait = 0.02 if due is None else min(max(due - time.monotonic(), 0.001), 0.02)
            await asyncio.sleep(wait)

    async def _send(self) -> None:
        while True:
            payload, reliable = await self._outbox.get()
            if self.specialist is None:
                continue
            try:
                await self.room.local_participant.publish_data(
                    payload, reliable=reliable, destination_identities=[self.specialist], topic=TOPIC
                )
            except rtc.participant.PublishDataError:
                # It is sent again.
                continue

    async def _listen(self, track: rtc.Track) -> None:
        async for came, frame in heard(track, 16_000):
            peak = max(max(frame.data, default=0), -min(frame.data, default=0))
            if peak >= 200:
                self.sounded.append((came, peak))
