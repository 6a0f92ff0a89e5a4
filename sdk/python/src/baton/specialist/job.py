"""One call: the room, the link to Baton, the agent, and the baton between them.

Everything runs in one event loop. What Baton says takes effect on the gates in the step in which it arrives; the agent
learns of it after that, on a task of its own.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

from livekit import rtc

from baton import __version__
from baton.assembly import Assembly, AssemblyError
from baton.bodies import (
    Body,
    ContextAppend,
    ContextApplied,
    ContextChunk,
    ContextItem,
    ContextResult,
    DelegationResult,
    Dtmf,
    Granted,
    HandoffOutcome,
    HandoffRequest,
    Hello,
    Ready,
    Packet,
    Prepare,
    Refuse,
    Reject,
    Released,
    Side,
    Speech,
    StatePatch,
    StateResult,
    SummaryRequest,
    SummaryResult,
    Target,
    Welcome,
)
from baton.chunks import ChunkLimits
from baton.errors import BatonError
from baton.frame import VERSION
from baton.ids import HandoffId, StreamId
from baton.link import Link, LinkConfig, LinkEvent, Received, Rejected, SendError, Unresponsive
from baton.memory import Memory, MemoryMismatchError
from baton.metadata import DispatchMetadata
from baton.reasons import RejectReason
from baton.specialist.agent import (
    Agent,
    Call,
    CallOverError,
    Granting,
    NotHolderError,
    NotSentError,
    Preparation,
    Request,
    StateTimeoutError,
)
from baton.specialist.caller import CallerAudio, Hearing, Listener
from baton.specialist.hooks import Hooks
from baton.specialist.outlet import Outlet
from baton.specialist.patches import WRITE_MAX_SECS, Patches
from baton.specialist.payload import decoded, encoded
from baton.specialist.requests import TEXT_CHARS_MAX, Asked, Requests
from baton.specialist.room import Connection, ConnectionLostError
from baton.specialist.tasks import Tasks
from baton.specialist.voice import Voice
from baton.standing import (
    Answer,
    CallOff,
    Complaint,
    FinishUtterance,
    GiveUp,
    GoOn,
    LeaveRoom,
    SayNotHere,
    SayReadyAgain,
    Standing,
    StartPreparing,
    Step,
    StopListening,
    Take,
)
from baton.vigil import TIMEOUT_MS, Change, Vigil

HEAR_MAX_SECS = 2.0
"""How long a specialist that is prepared waits for the caller's sound until it is ready without."""
WELCOME_MAX_SECS = 60.0
"""The longest that Baton may take to welcome a specialist that has just joined."""
FAREWELL_MAX_SECS = 1.0
"""How long the last acks are waited for before the room is left."""
LAST_WORDS_MAX_SECS = 0.6
"""How long what was heard of an agent's last words, and what the caller had said to it, is waited for before it says that it has let go.
Baton waits for that for `revoke_timeout_ms`, a second by default."""
SPEECH_PAUSE_SECS = 0.1
"""How long nothing has to be said until an utterance counts as over."""
LEFT_MAX_SECS = 2.0
"""How long an agent may take to put its things away."""
HOME_MAX_SECS = 2.0
"""The longest that the voice waits for Baton to subscribe to the track that it moves to."""
OPEN_AGAIN_SECS = 0.2
"""After so long the caller is let in once more: now and then the first time took effect some 2.5 s late, which fits the server's look through all
tracks every 3 s."""
TAIL_SECS = 0.3
"""How long a track that the voice has left stays, for what was said last to reach the caller."""

logger = logging.getLogger("baton")


class NotWelcomedError(BatonError):
    """Baton did not answer."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Baton did not welcome the specialist: {why}")


class VersionMismatchError(NotWelcomedError):
    """Baton speaks another version of the protocol."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail}; install a version of baton-livekit that speaks Baton's own")


class AgentFailedError(BatonError):
    """A hook of the agent raised an exception: it is the cause of this one."""


class _Direct(Enum):
    """Whether the caller hears our track without Baton."""

    NO = "no"
    OPEN = "open"
    """It does."""
    HOME = "home"
    """It may, until the voice moves to the fresh track."""


class Job:
    """A specialist's part in one call. `run` it once."""

    def __init__(
        self,
        room: rtc.Room,
        metadata: DispatchMetadata,
        *,
        sample_rate: int = 48_000,
        hearing: Hearing | None = None,
        sdk_name: str = "baton-livekit",
        write_timeout_secs: float = WRITE_MAX_SECS,
    ) -> None:
        binding = metadata.baton
        self._write_timeout_secs = write_timeout_secs
        self.voice = Voice(sample_rate)
        """What is said."""
        self._sources = [self.voice.source]
        self.caller = CallerAudio(hearing or Hearing())
        """What is heard."""
        self.memory = Memory()
        """What was said and done."""
        self.connection = Connection(room, binding.orchestrator, self)
        """The room."""
        self._takes_over = False
        self.call = Call(
            id=binding.call,
            specialist=binding.specialist,
            metadata=metadata.metadata,
            room=room,
            voice=self.voice,
            memory=self.memory,
            listen=self._listen,
            wishes=self,
            holds=lambda: self._standing.holds,
            hears=lambda: self._standing.hears,
            caller=lambda: self.connection.caller,
        )
        """The call, as the agent sees it."""
        self._hello = Hello(
            ticket=binding.ticket,
            specialist=binding.specialist,
            sdk_name=sdk_name,
            sdk_version=__version__,
            versions=(VERSION,),
        )
        stream = StreamId(random.SystemRandom().getrandbits(64) or 1)
        self._link = Link(LinkConfig(side=Side.SPECIALIST, call=binding.call, stream=stream))
        self._standing = Standing()
        limits = ChunkLimits(side=Side.SPECIALIST)
        self._outlet = Outlet(self._link, limits)
        self._assembly = Assembly(limits)
        self._patches = Patches(self.memory)
        self._applied_unsaid = False
        self._greets_again = False
        self._waiting_for: tuple[Preparation, Packet | None] | None = None
        self._connected = True
        self._sid = ""
        self._timer: asyncio.TimerHandle | None = None
        self._finish: asyncio.Task[Any] | None = None
        self._released: Released | None = None
        self._requests = Requests()
        self._extra_tracks: list[rtc.LocalTrack] = []
        self._tasks = Tasks()
        self._hooks: Hooks | None = None
        self._welcomed = asyncio.Event()
        self._vigil = Vigil(time.monotonic())
        self._direct = _Direct.NO
        self._home: asyncio.Task[Any] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def join(self) -> None:
        """Closes the permission and publishes the voice, in this order: a track that is published open is heard by the
        caller at once. The room is joined already, subscribed to nothing. Raises `ConnectionLostError`."""
        await self.connection.close_permission()
        await self.connection.publish(self.voice.source)

    async def run(self, agent: Agent) -> None:
        """Takes part in the call until it is over; `join` comes before. Raises `NotWelcomedError`,
        `ConnectionLostError` or `AgentFailedError`."""
        self._hooks = Hooks(agent, self.call, self._prepared, self._agent_failed)
        try:
            self._say_hello()
            logger.info("joined as %s", self._hello.specialist)
            await self._wait_for_welcome()
            self._tasks.start(self._tell_speech(), "baton: speech")
            self._tasks.start(self._keep_vigil(), "baton: vigil")
            await asyncio.shield(self._ended)
        finally:
            await self._leave(agent)

    @property
    def is_alone(self) -> bool:
        """Whether Baton is gone, and the caller is reached without it."""
        return self._direct is not _Direct.NO

    def leave(self) -> None:
        """Ends the part in the call."""
        self._end(None)

    def on_outcome(self, told: Callable[[HandoffOutcome], None]) -> None:
        """Tells of every outcome of a request."""
        self._requests.on_outcome(told)

    def request(
        self,
        target: Target,
        reason: str,
        tool_call: str | None = None,
        delegation: Any = None,
        result: Any = None,
    ) -> Asked:
        """Asks for a handoff. Raises `HandoffError`, or `UnserialisableError`."""
        if self._ended.done():
            raise CallOverError
        if not self._standing.may_hand_off:
            raise NotHolderError
        asking = self._requests.next(target, reason, tool_call, delegation, result)
        try:
            self._send(asking)
        except SendError as error:
            raise NotSentError(str(error)) from error
        request = self._requests.asked(asking, self._standing.epoch)
        self._pump()
        return request

    async def delegation(self, request: Request) -> Any:
        """What comes of a delegation. Raises `HandoffError` or `DelegationError`."""
        return await self._requests.delegation(request)

    def append(self, items: tuple[ContextItem, ...]) -> None:
        """Adds to the conversation."""
        for item in items:
            self.memory.wrote(item)
        self._outlet.put(ContextAppend(items))
        self._pump()

    async def patch(self, merge_patch: dict[str, Any], base_version: int | None) -> int:
        """Changes the state. Raises `StateError` or `CallOverError`."""
        if self._ended.done():
            raise CallOverError
        patch = encoded("the patch", merge_patch)
        number, change = self._patches.begin(patch)
        base = self.memory.state_version if base_version is None else base_version
        try:
            self._outlet.put(StatePatch(number, base, patch))
        except BatonError:
            self._patches.drop(number)
            raise
        self._pump()
        await asyncio.wait((change.answer,), timeout=self._write_timeout_secs)
        if not change.answer.done():
            raise StateTimeoutError(self._write_timeout_secs)
        return change.answer.result()

    # What the room tells.

    def packet(self, data: bytes) -> None:
        if self._link.is_established:
            self._vigil.frame(time.monotonic())
            self._look()
        followed = self._link.seen
        for event in self._link.handle_frame(time.monotonic(), data):
            self._said(event)
        now_followed = self._link.seen
        if followed is not None and now_followed is not None and followed.stream != now_followed.stream:
            # Another process of Baton's, which has no piece of what was under way.
            self._assembly.clear()
            self._outlet.restart()
        self._pump()

    def caller_track(self, sid: str, track: rtc.Track) -> None:
        if self._standing.wants_caller:
            self.caller.hear(sid, track)

    def caller_track_gone(self, sid: str) -> None:
        self.caller.forget(sid)

    def extra_track(self, track: rtc.LocalTrack) -> None:
        self._extra_tracks.append(track)
        self._apply_gate()

    def reconnecting(self) -> None:
        logger.info("reconnecting")
        self._connected = False
        self._greets_again = False
        self._apply_gate()

    def reconnected(self) -> None:
        self._tasks.start(self._greet_again(), "baton: reconnect")

    def orchestrator_joined(self) -> None:
        # Another process of Baton's knows nothing of us before a Hello. What has the baton goes on meanwhile.
        if self._connected and self._welcomed.is_set():
            logger.info("Baton is back")
            self._greets_again = True
            if self._direct is _Direct.OPEN:
                # The Hello names the track that the caller hears without Baton, and the one that is for Baton.
                self._go_home(greets=True)
            else:
                self._say_hello()

    def ended(self, broken: str | None) -> None:
        self._connected = False
        self._end(None if broken is None else ConnectionLostError(f"the connection was lost: {broken}"))

    # What comes of it.

    async def _greet_again(self) -> None:
        # After a full reconnect the track was published anew, and the server may not have been told yet who may
        # subscribe. Only silence has left since.
        try:
            await self.connection.close_permission()
        except ConnectionLostError as error:
            self._end(error)
            return
        if self._home is not None:
            self._home.cancel()
            self._home = None
            if self.connection.fresh_sid:
                self.voice.source = self._sources[-1]
                self.connection.move_voice()
        self._direct = _Direct.NO
        self._vigil.restart(time.monotonic())
        anew = self.connection.sid != self._sid
        logger.info("reconnected, %s", "as a new participant" if anew else "as before")
        if anew and self._standing.lose():
            self._put_down()
        self._connected = True
        self._say_hello()
        self._apply_gate()

    def _say_hello(self) -> None:
        self._sid = self.connection.sid
        voice, fresh = self.connection.track_sid, self.connection.fresh_sid
        match self._direct:
            case _Direct.NO:
                tracks = (voice, "")
            case _Direct.OPEN:
                tracks = ("", voice)
            case _Direct.HOME:
                tracks = (fresh, voice)
        self._hello = replace(self._hello, track_sid=tracks[0], open_track_sid=tracks[1])
        self._link.hello(time.monotonic(), self._hello)
        self._pump()

    async def _wait_for_welcome(self) -> None:
        waiting = asyncio.ensure_future(self._welcomed.wait())
        try:
            await asyncio.wait(
                (waiting, self._ended), timeout=WELCOME_MAX_SECS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if not self._welcomed.is_set() and not self._ended.done():
            raise NotWelcomedError(
                f"no answer within {WELCOME_MAX_SECS:g} s; the ticket may be that of another job (give it the metadata of its own), or "
                "Baton is gone: see Baton's log for this call"
            )

    def _said(self, event: LinkEvent) -> None:
        match event:
            case Received(_, body):
                self._heard(body)
            case Rejected(reason, detail):
                logger.warning("frame rejected, %s: %s", reason.name, detail)
            case Unresponsive():
                logger.warning("Baton does not answer")

    def _heard(self, body: Body) -> None:
        logger.debug("received %s", body.NAME)
        if isinstance(body, Dtmf):
            self._cue(lambda hooks: hooks.digit(body.number, body.digit))
            return
        if isinstance(body, ContextAppend | ContextChunk | StatePatch | StateResult):
            self._remember(body)
            return
        if isinstance(body, ContextResult):
            for refused in body.refused:
                logger.warning("an item was not taken, %s: %s", refused.reason.name, refused.detail)
            return
        if isinstance(body, SummaryRequest):
            self._tasks.start(self._summarize(body), "baton: summary")
            return
        if isinstance(body, DelegationResult):
            self._requests.delegation_ended(body)
            return
        step = self._standing.hear(body)
        if isinstance(step, StartPreparing):
            if isinstance(body, Prepare):
                self._prepare_when_told(step, body)
            return
        if isinstance(body, Welcome):
            self._welcomed.set()
            self._greets_again = False
            self.call.targets = {target.name: target.description for target in body.targets}
            self.call.may_hand_back = body.previous
            self.caller.keep(body.terms.preroll_ms or 0)
            timeout_ms = body.terms.orchestrator_timeout_ms
            self._outlet.limits = self._assembly.limits = ChunkLimits(side=Side.SPECIALIST).with_terms(body.terms)
            self._vigil.timeout_secs = (TIMEOUT_MS if timeout_ms is None else timeout_ms) / 1_000
            self._apply_gate()
            self.connection.repeat_wish()
        if step is not None:
            self._carry_out(step)

    def _carry_out(self, step: Step) -> None:
        match step:
            case StartPreparing():
                # It has a packet, see `_prepare_when_told`.
                pass
            case SayReadyAgain(handoff):
                self._send_ready(handoff)
            case CallOff():
                logger.info("preparation called off")
                self._waiting_for = None
                self._cue(lambda hooks: hooks.cancel())
                self._apply_gate()
            case Take(epoch, opening, handoff):
                logger.info("granted, epoch %d", epoch)
                self._say_released()
                self._stop_finishing()
                self.voice.open()
                preroll_ms = self.caller.kept_ms
                self._apply_gate()
                self._send(Granted(epoch, preroll_ms))
                grant = Granting(epoch, opening, handoff)
                self._cue(lambda hooks: hooks.granted(grant))
            case GoOn(epoch):
                self._apply_gate()
                self._send(Granted(epoch))
                for asking in self._requests.again(epoch):
                    self._send(asking)
            case StopListening():
                self._apply_gate()
            case FinishUtterance(deadline_ms):
                self.voice.finish()
                self._apply_gate()
                self._cue(lambda hooks: hooks.finishing())
                self._stop_finishing()
                self._finish = self._tasks.start(self._finish_within(deadline_ms / 1000), "baton: last utterance")
            case GiveUp(epoch):
                self._give_up(Released(epoch))
            case SayNotHere(epoch):
                self._send(Released(epoch))
            case LeaveRoom():
                self._end(None)
            case Answer(result):
                self._requests.answered(result)
            case Complaint(reject):
                self._complained(reject)

    def _prepare_when_told(self, step: StartPreparing, prepare: Prepare) -> None:
        """Has the agent prepare when it has been told all that the packet promises."""
        logger.info("preparing for handoff %d", step.handoff)
        self._takes_over = step.source is not None
        self._say_released()
        if prepare.caller is not None:
            self.connection.pin_caller(prepare.caller)
        self._apply_gate()
        self.call.task = task = decoded(prepare.delegation_input)
        preparation = Preparation(
            step.handoff, step.source, step.reason, step.opening, task, prepare.traceparent
        )
        self._waiting_for = (preparation, prepare.packet)
        self._prepare_if_told()

    def _prepare_if_told(self) -> None:
        if self._waiting_for is None:
            return
        preparation, packet = self._waiting_for
        if packet is not None and (
            self.memory.position < packet.context_items or self.memory.state_version < packet.state_version
        ):
            return
        self._waiting_for = None
        self._cue(lambda hooks: hooks.prepare(preparation))

    def _remember(self, body: ContextAppend | ContextChunk | StatePatch | StateResult) -> None:
        try:
            match body:
                case ContextChunk():
                    whole = self._assembly.take(body)
                    if whole is not None:
                        self._heard(whole)
                case ContextAppend(items):
                    taken = self.memory.take(items)
                    self._cue(lambda hooks: hooks.items(taken))
                    self._applied_unsaid = True
                case StatePatch():
                    version = body.version if body.version is not None else body.base_version + 1
                    if body.base_version == 0:
                        self.memory.replace_state(body.merge_patch, version)
                        patch = self.memory.state
                    else:
                        patch = self.memory.merge(body.merge_patch, version)
                    self._cue(lambda hooks: hooks.state_changed(patch))
                case StateResult():
                    self._patches.answered(body)
        except (AssemblyError, MemoryMismatchError) as error:
            logger.error("what Baton sent cannot be used: %s", error)
        self._prepare_if_told()

    async def _summarize(self, request: SummaryRequest) -> None:
        text, refused = None, "the agent makes no summaries"
        if self._hooks is not None:
            try:
                async with asyncio.timeout(request.deadline_ms / 1000):
                    text = await self._hooks.summarize()
            except TimeoutError:
                refused = "the agent took too long"
            except Exception as error:
                logger.exception("the summary failed")
                refused = f"the agent failed: {type(error).__name__}"
        self._send(SummaryResult(request.request, text, "" if text is not None else refused))
        self._pump()

    async def _finish_within(self, limit_secs: float) -> None:
        try:
            async with asyncio.timeout(limit_secs):
                await self.voice.finished()
        except TimeoutError:
            logger.debug("the utterance is cut")
        self._finish = None
        epoch = self._standing.finished()
        if epoch is not None:
            self._give_up(Released(epoch))
            self._pump()

    def _give_up(self, released: Released) -> None:
        logger.info("revoked, epoch %d", released.epoch)
        self._say_released()
        heard = self._put_down()
        self._released = released
        self._tasks.start(self._release(released, heard), "baton: last words")

    async def _release(self, released: Released, heard: "asyncio.Future[None] | None") -> None:
        """Lets go once it is known what was heard of what the agent was saying."""
        try:
            async with asyncio.timeout(LAST_WORDS_MAX_SECS):
                if heard is not None:
                    await heard
                while self._outlet.waiting:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            logger.debug("what was heard of the last words is not known")
        if self._released is released:
            self._say_released()
            self._pump()

    def _say_released(self) -> None:
        released, self._released = self._released, None
        if released is not None:
            self._send(released)

    async def _tell_speech(self) -> None:
        """Tells Baton when something is being said, and when not: it changes holders in between."""
        while True:
            await self.voice.begun()
            self._send(Speech(True))
            self._pump()
            await self.voice.over(SPEECH_PAUSE_SECS)
            self._send(Speech(False))
            self._pump()

    def _put_down(self) -> "asyncio.Future[None] | None":
        """Silences and deafens the agent, and tells it. Gives when it has fallen silent."""
        self._stop_finishing()
        self.voice.close()
        self._apply_gate()
        return self._hooks.revoked() if self._hooks is not None else None

    def _stop_finishing(self) -> None:
        if self._finish is not None and self._finish is not asyncio.current_task():
            self._finish.cancel()
        self._finish = None

    def _apply_gate(self) -> None:
        """Sound passes, either way, only while the connection stands and Baton has greeted us on it. A subscription takes
        longer than a grant may, so it is made while the agent prepares."""
        reached = self._link.is_established or self._greets_again or self._direct is not _Direct.NO
        stands = self._connected and reached
        holds = self._standing.holds
        self.voice.set_audible(stands)
        # Who is to finish hears no more: the next one does.
        self.caller.set_audible(stands and self._standing.hears)
        wants = self._standing.wants_caller
        self.connection.want_caller(wants)
        if not wants:
            self.caller.forget_all()
        for track in self._extra_tracks:
            if isinstance(track, rtc.LocalAudioTrack):
                if stands and holds:
                    track.unmute()
                else:
                    track.mute()

    async def _keep_vigil(self) -> None:
        """Looks whether Baton is gone or back, and reaches the caller without it meanwhile."""
        while True:
            interval_secs = self._vigil.interval_secs
            await asyncio.sleep(interval_secs or 1.0)
            keeps = interval_secs is not None and self._connected and self._standing.holds
            # Not sooner: Baton takes the first subscription of all for the caller's.
            self.connection.want_program(keeps)
            if keeps:
                sample = await self.connection.sample()
                if sample is not None:
                    self._vigil.sample(time.monotonic(), sample)
            self._look()

    def _look(self) -> None:
        """Opens our track to the caller, or goes back to Baton, if it is time to."""
        caller = self.connection.caller
        may_open = self._connected and self._standing.hears and caller is not None
        match self._vigil.poll(time.monotonic(), may_open):
            case Change.OPEN if self._direct is _Direct.NO and self._home is None:
                logger.warning("Baton is gone, the caller is reached without it")
                self._direct = _Direct.OPEN
                self.connection.permit(caller)
                self._tasks.start(self._open_again(caller), "baton: open again")
                self._apply_gate()
            case Change.CLOSE if self._direct is _Direct.OPEN:
                # It plays our track again: what the caller hears directly ends at once.
                logger.info("Baton is back")
                self.connection.permit(None)
                self._go_home(greets=False)
            case Change.OPEN | Change.CLOSE | None:
                if self._direct is _Direct.OPEN and not self._standing.holds:
                    self._go_home(greets=False)

    async def _open_again(self, caller: str | None) -> None:
        await asyncio.sleep(OPEN_AGAIN_SECS)
        if self._direct is _Direct.OPEN:
            self.connection.permit(caller)

    def _go_home(self, greets: bool) -> None:
        self._direct = _Direct.HOME
        self._home = self._tasks.start(self._moved(greets), "baton: to the fresh track")

    async def _moved(self, greets: bool) -> None:
        """Moves the voice to a fresh track, by which the caller hears us through Baton alone: one that was open cannot be closed and
        opened again in time."""
        try:
            source = self.voice.new_source()
            self._sources.append(source)
            publication = await self.connection.publish_fresh(source)
            if greets:
                self._say_hello()
            taken = asyncio.ensure_future(publication.wait_for_subscription())
            try:
                deadline = time.monotonic() + HOME_MAX_SECS
                while not (taken.done() and self._link.is_established):
                    if time.monotonic() >= deadline or not self._standing.holds:
                        break
                    await asyncio.sleep(0.02)
            finally:
                taken.cancel()
            former = self.voice.source
            await self.voice.move(source)
            self.connection.move_voice()
            logger.info("the voice goes by Baton again")
            self._direct = _Direct.NO
            self._vigil.closed()
            self._apply_gate()
            await asyncio.sleep(TAIL_SECS)
            await self.connection.take_former_away()
            self.connection.permit(None)
            self._sources.remove(former)
            await former.aclose()
            self._home = None
        except ConnectionLostError as error:
            self._end(error)

    def _prepared(self, handoff: HandoffId, refusal: str | None) -> None:
        if refusal is None:
            self._tasks.start(self._ready_when_it_hears(handoff), "baton: ready")
        elif self._standing.refused(handoff):
            logger.info("preparation refused")
            self._apply_gate()
            self._send(Refuse(handoff, refusal[:TEXT_CHARS_MAX]))
        # Else it was called off meanwhile.
        self._pump()

    async def _ready_when_it_hears(self, handoff: HandoffId) -> None:
        """Whoever takes over hears the caller at once, and the moment before: a subscription takes a while, and the caller may say
        something through the change."""
        if self.connection.caller_has_audio:
            try:
                async with asyncio.timeout(HEAR_MAX_SECS):
                    await self.caller.opened(self._takes_over)
            except TimeoutError:
                logger.info("the caller is not heard yet")
        if self._standing.ready(handoff):
            logger.info("ready for handoff %d", handoff)
            self._send_ready(handoff)
            self._pump()

    def _agent_failed(self, error: BaseException) -> None:
        failed = AgentFailedError(f"the agent failed: {error!r}")
        failed.__cause__ = error
        self._end(failed)

    def _complained(self, reject: Reject) -> None:
        logger.warning("Baton rejected a frame, %s: %s", reject.reason.name, reject.detail)
        if self._welcomed.is_set():
            return
        if reject.reason is RejectReason.UNSUPPORTED_VERSION:
            self._end(VersionMismatchError(reject.detail))
        elif reject.reason in (RejectReason.UNBOUND, RejectReason.IDENTITY_TAKEN):
            self._end(NotWelcomedError(f"{reject.detail}; the ticket is good for one job of one dispatch: give it the metadata of its own job"))

    def _send_ready(self, handoff: HandoffId) -> None:
        self._send(Ready(handoff, context_items=self.memory.position, context_hash=self.memory.hash))

    def _send(self, body: Body) -> None:
        """A window that is full with these few words means that Baton has not answered for long."""
        try:
            self._link.send(time.monotonic(), self._standing.epoch, body)
        except SendError as error:
            if isinstance(body, HandoffRequest):
                raise
            self._end(ConnectionLostError(f"Baton does not answer: {error}"))

    def _pump(self) -> None:
        """Sends what is due, and sees to it that the next thing is done when it is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._connected:
            return
        now = time.monotonic()
        if self._applied_unsaid and self._link.is_established:
            # Once for all that has come together.
            self._applied_unsaid = False
            self._send(ContextApplied(self.memory.position, self.memory.hash))
        self._outlet.pump(now, self._standing.epoch)
        while (transmit := self._link.poll_transmit(now)) is not None:
            self.connection.send(transmit.payload, transmit.reliable)
        due = self._link.poll_timeout()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(due - now, 0.001), self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        for event in self._link.handle_timeout(time.monotonic()):
            self._said(event)
        self._pump()

    def _listen(self) -> Listener:
        return self.caller.listener()

    def _cue(self, cue: Callable[[Hooks], None]) -> None:
        if self._hooks is not None:
            cue(self._hooks)

    def _end(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    async def _leave(self, agent: Agent) -> None:
        """Lets Baton's last words be acked, and leaves."""
        self._say_released()
        self.voice.close()
        self.voice.set_audible(False)
        self._requests.over()
        self._patches.over()
        if self._hooks is not None:
            await self._hooks.stop()
            self._hooks = None
        try:
            async with asyncio.timeout(LEFT_MAX_SECS):
                await agent.left(self.call)
        except TimeoutError:
            logger.warning("the agent took longer than %g s to put its things away", LEFT_MAX_SECS)
        deadline = time.monotonic() + FAREWELL_MAX_SECS
        while self._connected and time.monotonic() < deadline:
            self._pump()
            if not self._outlet.waiting and not self._link.waiting and self._link.poll_timeout() is None:
                break
            await asyncio.sleep(0.01)
        self._connected = False
        if self._timer is not None:
            self._timer.cancel()
        await self.caller.end()
        await self._tasks.stop()
        await self.connection.close()
        for source in self._sources:
            await source.aclose()
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()
