"""The duties of a specialist, each as a check in a call of its own."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from livekit import api
from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import (
    ContextAppend,
    ContextApplied,
    ContextItem,
    Cut,
    Finish,
    Granted,
    Leave,
    Opening,
    Ready,
    Say,
    Wait,
)
from baton.frame import VERSION
from baton.ids import Epoch
from baton.kit.line import Line
from baton.kit.orchestrator import NoAnswerError, Orchestrator
from baton.kit.phone import Phone

JOIN_MAX_SECS = 30.0
"""From the dispatch to the Hello."""
DISPATCH_AGAIN_SECS = 8.0
"""How long nobody comes until the agent is dispatched again."""
RECONNECT_MAX_SECS = 20.0
"""From a cut to the next Hello."""
READY_MAX_SECS = 30.0
"""From a Prepare to its Ready."""
SPEAK_MAX_SECS = 10.0
"""From a grant to the first word that it was told to say."""
STRAY_MS = 200
"""What buffers on the way may still give after a pause, on a machine that is busy. An agent that goes on says more."""
QUIET_SECS = 1.5
"""How long silence is listened to."""
TAIL_MAX_SECS = 2.5
"""How long what was said before may still sound: on a busy machine the buffers on the way grow by as much as somebody stood still."""
PAUSE_SECS = 0.3
"""How long nothing sounds until it has fallen silent."""
WORDS = "This is a sentence that the kit has the specialist say, long enough to be cut."
"""What a specialist is told to say."""


class Failed(Exception):
    """The specialist has not done its duty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to test, and where."""

    url: str
    api_key: str
    api_secret: str
    agent_name: str
    metadata: Any = None
    """The operator's metadata for the specialist."""
    line: Line | None = None
    """The agent's line to the server, if the kit can cut it."""


class Trial:
    """One call."""

    def __init__(self, orchestrator: Orchestrator, phone: Phone, cut: Callable[[], int]) -> None:
        self.cut = cut
        """Cuts the specialist's signalling, and returns how many connections that were."""
        self.baton = orchestrator
        """What says what Baton says."""
        self.phone = phone
        """The caller, who subscribes to everything."""

    @property
    def identity(self) -> str:
        """The specialist's identity."""
        if self.baton.specialist is None:
            raise Failed("it has not said Hello")
        return self.baton.specialist

    async def prepared(self, opening: Opening) -> None:
        """Has it prepare, and waits for its Ready."""
        number = self.baton.prepare(opening, self.phone.identity)
        async with _within(READY_MAX_SECS, "it is not ready"):
            ready = await self.baton.wait_for(
                Ready, holds=lambda body: body.handoff == number, limit_secs=READY_MAX_SECS
            )
        told = self.baton.memory
        if (ready.context_items, ready.context_hash) != (told.position, told.hash):
            raise Failed(
                f"its Ready confirms {ready.context_items} items, hash {ready.context_hash.hex()[:8]}; "
                f"it was told {told.position}, hash {told.hash.hex()[:8]}"
            )

    async def granted(self, opening: Opening) -> float:
        """Grants it the baton; returns when that was."""
        at = time.monotonic()
        epoch = self.baton.grant(opening)
        await self.baton.granted(epoch)
        return at

    async def speaks(self) -> float:
        """Prepares it, grants it the baton and has it speak; returns the time of the grant."""
        await self.prepared(Say(WORDS))
        at = await self.granted(Say(WORDS))
        await self.sounds(at)
        return at

    async def sounds(self, since: float) -> None:
        """Waits until it is heard."""
        deadline = since + SPEAK_MAX_SECS
        while self.baton.sounded_since(since) < 200:
            if time.monotonic() > deadline:
                raise Failed(f"nothing is heard {SPEAK_MAX_SECS:g} s after the grant, though it was told what to say")
            await asyncio.sleep(0.02)

    async def falls_silent(self, why: str) -> None:
        """Waits until what it has said is heard out, and fails if it goes on."""
        deadline = time.monotonic() + TAIL_MAX_SECS
        while self.baton.sounded_since(time.monotonic() - PAUSE_SECS):
            if time.monotonic() > deadline:
                raise Failed(f"it still sounds {TAIL_MAX_SECS:g} s {why}")
            await asyncio.sleep(0.05)
        await self.quiet(why, STRAY_MS)

    async def quiet(self, why: str, stray_ms: int = 0) -> None:
        """Fails if it sounds from now on for longer than `stray_ms`, in milliseconds."""
        since = time.monotonic()
        await asyncio.sleep(QUIET_SECS)
        sounded = self.baton.sounded_since(since)
        if sounded > stray_ms:
            raise Failed(f"{sounded} ms of sound {why}")


@asynccontextmanager
async def trial(target: Target, room: str) -> AsyncIterator[Trial]:
    """A call, with the specialist in it."""
    orchestrator = Orchestrator(target.url, target.api_key, target.api_secret, room)
    phone = Phone()
    await orchestrator.join()
    try:
        await phone.dial(target.url, target.api_key, target.api_secret, room)
        deadline = time.monotonic() + JOIN_MAX_SECS
        again = time.monotonic()
        while orchestrator.specialist is None:
            if time.monotonic() >= again and not orchestrator.has_company:
                # A job that no worker takes at once is dropped by the server.
                await orchestrator.dispatch(target.agent_name, target.metadata)
                again = time.monotonic() + DISPATCH_AGAIN_SECS
            if time.monotonic() > deadline:
                said = "a Hello came, with another ticket" if orchestrator.hellos else "no Hello came"
                raise Failed(f"{said} within {JOIN_MAX_SECS:g} s of the dispatch of {target.agent_name!r}")
            await asyncio.sleep(0.02)
        yield Trial(orchestrator, phone, lambda: target.line.cut(room) if target.line is not None else 0)
    except NoAnswerError as error:
        raise Failed(str(error)) from None
    finally:
        await phone.hang_up()
        await orchestrator.leave()
        async with api.LiveKitAPI(target.url.replace("ws", "http", 1), target.api_key, target.api_secret) as livekit:
            try:
                await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
            except api.TwirpError:
                # It is gone already.
                pass


async def joins_closed(trial: Trial) -> None:
    """Closes its track to all but Baton, publishes it, and says Hello with its ticket"""
    hello = trial.baton.hellos[-1]
    if not any(version.major == VERSION.major for version in hello.versions):
        raise Failed(f"it does not speak version {VERSION.major} of the protocol")
    if not hello.track_sid:
        raise Failed("its Hello names no track: it has to publish before it says Hello")
    await asyncio.sleep(1.0)
    if trial.identity in trial.phone.samples:
        raise Failed("the caller could subscribe to its track: its permission was open when it published")


async def gets_ready(trial: Trial) -> None:
    """Answers a Prepare when it could speak"""
    await trial.prepared(Wait())


async def silent_before(trial: Trial) -> None:
    """Is silent until it has the baton"""
    await trial.prepared(Say(WORDS))
    await trial.quiet("before the grant")


async def opens_as_told(trial: Trial) -> None:
    """Says what the opening says, and that it was granted"""
    await trial.speaks()


async def waits_as_told(trial: Trial) -> None:
    """Waits for the caller if the opening is to wait"""
    await trial.prepared(Wait())
    await trial.granted(Wait())
    await trial.quiet("though it was to wait for the caller")


async def context_complete(trial: Trial) -> None:
    """Confirms all items of the conversation, in order, replaced and large ones too"""
    baton = trial.baton
    baton.tell(message("item_1", "user", "Hello?"), message("item_2", "assistant", "Good morning, how can I help you"))
    baton.tell(message("item_2", "assistant", "Good morning", interrupted=True))
    baton.tell(*call("item_3", "item_4", "look_up", '{"number": 1}', '{"name": "Ada"}'))
    baton.tell(message("item_5", "user", "é漢🙂 " + "x" * 5_000))
    await trial.prepared(Wait())
    # The tail, which comes while it is ready.
    heard = len(baton.bodies)
    baton.tell(message("item_6", "user", "and now billing, please"))
    applied = await baton.wait_for(
        ContextApplied, since=heard, holds=lambda body: body.context_items == baton.memory.position
    )
    if applied.context_hash != baton.memory.hash:
        raise Failed("the hash of what it has applied is another one")


async def streams_context(trial: Trial) -> None:
    """Tells Baton what it says"""
    heard = len(trial.baton.bodies)
    await trial.speaks()

    def has_words(append: ContextAppend) -> bool:
        return any(WORDS[:12] in text(item) for item in append.items)

    try:
        await trial.baton.wait_for(ContextAppend, since=heard, holds=has_words, limit_secs=30.0)
    except NoAnswerError:
        raise Failed("what it has said does not come as an item of the conversation within 30 s") from None


async def finishes(trial: Trial) -> None:
    """Ends its sentence when it is to finish, says Released, and is silent from then on"""
    await trial.speaks()
    mode = Finish(20_000)
    epoch = trial.baton.revoke(mode)
    await trial.baton.released(epoch, mode)
    await trial.falls_silent("after its Released")


async def cut_at_once(trial: Trial) -> None:
    """Falls silent at once when it is cut, and says Released"""
    await trial.speaks()
    at = time.monotonic()
    epoch = trial.baton.revoke(Cut())
    await trial.baton.released(epoch, Cut())
    took = time.monotonic() - at
    if took > 1.5:
        raise Failed(f"its Released came after {took:.1f} s")
    await trial.falls_silent("after it was cut")


async def ignores_stale(trial: Trial) -> None:
    """Does nothing for a grant of an epoch that is over"""
    await trial.speaks()
    epoch = trial.baton.revoke(Cut())
    await trial.baton.released(epoch, Cut())
    await trial.falls_silent("after it was cut")
    heard = len(trial.baton.bodies)
    trial.baton.epoch = Epoch(epoch - 2)
    stale = trial.baton.grant(Say(WORDS))
    await trial.quiet(f"for a grant of epoch {stale}, which was over")
    if trial.baton.said(Granted, since=heard):
        raise Failed(f"it has taken a grant of epoch {stale}, which was over")


async def state_refused(trial: Trial) -> None:
    """Goes on when a change of the state is not allowed"""
    trial.baton.tell_state(json.dumps({"kit": {"seen": True}}).encode())
    trial.baton.takes_patches = False
    await trial.speaks()
    await asyncio.sleep(1.0)
    epoch = trial.baton.revoke(Cut())
    await trial.baton.released(epoch, Cut())


async def reconnects(trial: Trial) -> None:
    """Says Hello anew when its connection has been restored, and goes on as before"""
    await trial.speaks()
    hellos = len(trial.baton.hellos)
    if not trial.cut():
        raise Failed("its connection could not be cut: the kit has to start the agent, on a server of its own")
    deadline = time.monotonic() + RECONNECT_MAX_SECS
    while len(trial.baton.hellos) == hellos:
        if time.monotonic() > deadline:
            raise Failed(f"it says no Hello within {RECONNECT_MAX_SECS:g} s after its connection was cut")
        await asyncio.sleep(0.02)
    epoch = trial.baton.revoke(Cut())
    await trial.baton.released(epoch, Cut())
    await trial.falls_silent("after it was cut")
    await trial.granted(Say(WORDS))


async def survives_baton(trial: Trial) -> None:
    """Says Hello to a Baton that comes back after it was killed, and takes its next grant"""
    await trial.prepared(Wait())
    await trial.granted(Wait())
    hellos = len(trial.baton.hellos)
    await trial.baton.kill()
    await asyncio.sleep(0.5)
    await trial.baton.rise()
    deadline = time.monotonic() + 15.0
    while len(trial.baton.hellos) == hellos:
        if time.monotonic() > deadline:
            raise Failed("it says no Hello to a Baton that has come back")
        await asyncio.sleep(0.02)
    await trial.granted(Wait())


async def leaves(trial: Trial) -> None:
    """Leaves the room when it is told to"""
    await trial.prepared(Wait())
    identity = trial.identity
    trial.baton.say(Leave())
    deadline = time.monotonic() + 15.0
    while identity in trial.baton.room.remote_participants:
        if time.monotonic() > deadline:
            raise Failed("it is still in the room after 15 s")
        await asyncio.sleep(0.05)


Check = Callable[[Trial], Awaitable[None]]

CHECKS: dict[str, Check] = {
    "joins-closed": joins_closed,
    "gets-ready": gets_ready,
    "silent-before": silent_before,
    "opens-as-told": opens_as_told,
    "waits-as-told": waits_as_told,
    "context-complete": context_complete,
    "streams-context": streams_context,
    "finishes": finishes,
    "cut-at-once": cut_at_once,
    "ignores-stale": ignores_stale,
    "state-refused": state_refused,
    "reconnects": reconnects,
    "survives-baton": survives_baton,
    "leaves": leaves,
}
"""All checks, by name."""
NEED_A_LINE = frozenset({"reconnects"})
"""Those that cut the agent's line, and need one that they can cut."""


def message(id: str, role: str, words: str, interrupted: bool = False) -> ContextItem:
    """Something said."""
    roles = {"user": pb.USER, "assistant": pb.ASSISTANT, "system": pb.SYSTEM, "developer": pb.DEVELOPER}
    chat = pb.ChatContext.ChatItem()
    chat.message.id = id
    chat.message.role = roles[role]
    chat.message.content.add(text=words)
    chat.message.interrupted = interrupted
    chat.message.created_at.FromSeconds(1_700_000_000 + int(hashlib.sha256(id.encode()).hexdigest()[:4], 16))
    return ContextItem(id, None, chat.SerializeToString(deterministic=True))


def call(id: str, output_id: str, name: str, arguments: str, output: str) -> tuple[ContextItem, ContextItem]:
    """A tool call and its result."""
    called, answered = pb.ChatContext.ChatItem(), pb.ChatContext.ChatItem()
    called.function_call.id = id
    called.function_call.call_id = f"call_{id}"
    called.function_call.name = name
    called.function_call.arguments = arguments
    answered.function_call_output.id = output_id
    answered.function_call_output.call_id = f"call_{id}"
    answered.function_call_output.name = name
    answered.function_call_output.output = output
    return (
        ContextItem(id, None, called.SerializeToString(deterministic=True)),
        ContextItem(output_id, None, answered.SerializeToString(deterministic=True)),
    )


def text(item: ContextItem) -> str:
    """What was said; empty if it is no message."""
    chat = pb.ChatContext.ChatItem.FromString(item.chat_item)
    return "\n".join(part.text for part in chat.message.content)


@asynccontextmanager
async def _within(limit_secs: float, what: str) -> AsyncIterator[None]:
    try:
        yield
    except NoAnswerError:
        raise Failed(f"{what} within {limit_secs:g} s") from None


