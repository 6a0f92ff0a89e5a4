"""An `AgentSession` between the gates: prepared, granted, revoked."""

import asyncio
import copy
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from livekit import api, rtc
from livekit.agents import (
    Agent as LivekitAgent,
)
from livekit.agents import (
    AgentSession,
    AutoSubscribe,
    CloseEvent,
    CloseReason,
    JobContext,
    SpeechCreatedEvent,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
    get_job_context,
    llm,
)
from livekit.agents.voice import room_io
from livekit.agents.voice.room_io.types import TextInputCallback

from baton.bodies import ContextItem, Continue, Greet, HandoffFailed, HandoffOutcome, Opening, Say, Wait
from baton.errors import BatonError
from baton.livekit_agents.audio import GatedInput, GatedOutput
from baton.livekit_agents.items import Outgoing, decode
from baton.livekit_agents.tool import complete_tool, delegate_tool, handoff_tool
from baton.metadata import DispatchMetadata, MetadataNotJsonError, NotFromBatonError
from baton.owed import Owed
from baton.shared import Mirror
from baton.specialist import (
    Agent,
    Call,
    CallOverError,
    Granting,
    HandoffError,
    Hearing,
    Job,
    Preparation,
    Request,
)
from baton.specialist.tasks import Tasks
from baton.summary import INSTRUCTIONS, Summarize, transcript
from baton.targets import task_text

SYNC_SECS = 0.2
"""How often what no event tells of is looked for: items that have changed, and the mirrored state."""
HAND_BACK_MAX_SECS = 10.0
"""How long an agent that ends the call waits for somebody to take over."""
TURN_OPEN_SECS = 5.0
"""How long ago the caller may have spoken for its turn to be open: an analyzer tells the end of one by then."""
TURN_MAX_SECS = 0.4
"""How long the words of such a turn are waited for when the baton goes."""
FLUSH_SECS = 0.8
"""Silence that has an ear end what it hears: more than the pause that tells voice activity that speech is over."""
_TASK = "baton/task"
"""The id of the message that tells the model its task. It does not travel."""

logger = logging.getLogger("baton")

Hydrate = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Rebuilds what does not travel, from the state, before the specialist is ready."""

_DTMF_CODES = {digit: code for code, digit in enumerate("0123456789*#ABCD")}


async def start(
    session: AgentSession[Any],
    agent: LivekitAgent,
    *,
    ctx: JobContext | None = None,
    room_options: room_io.RoomOptions | None = None,
    targets: Mapping[str, str] | None = None,
    delegates: Mapping[str, str] | None = None,
    share: Any = None,
    hydrate: Hydrate | None = None,
    summarize: Summarize | None = None,
    without_baton: bool = False,
    **options: Any,
) -> "Participation | None":
    """Has the agent take part in the call of its job, and returns when its session runs.

    `targets` are the specialists that the model may hand off to, with what each is for; by default those of the routes.
    `delegates` are those that it may have do something and come back with the result; by default none.
    `share` is a dataclass or a pydantic model, usually the session's userdata, that mirrors the shared state. `hydrate` is
    called with the state before the specialist is ready. `summarize` makes the summary that a route with `context: summary` asks for;
    by default the session's model does, if it is no realtime model. With `without_baton` an agent that was not dispatched by Baton
    starts as ever, and `None` is returned. Other options are those of `AgentSession.start`.

    Raises `NotFromBatonError` if the job was not dispatched by Baton, another `MetadataError`, `ConnectionLostError`,
    `NotWelcomedError`, `NotMirrorableError`, or `CallOverError` if the call is over before the specialist was needed.
    """
    ctx = ctx or get_job_context()
    try:
        metadata = DispatchMetadata.parse(ctx.job.metadata)
    except (NotFromBatonError, MetadataNotJsonError):
        # Metadata of somebody else's need not be JSON.
        if not without_baton:
            raise
        await session.start(agent, room=ctx.room, room_options=room_options or room_io.RoomOptions(), **options)
        return None
    await ctx.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE)
    room_options = copy.copy(room_options) if room_options is not None else room_io.RoomOptions()
    part = Participation(session, agent, ctx, metadata, room_options, targets, delegates, share, hydrate, summarize, options)
    await part._join()
    return part


class Participation(Agent):
    """An agent's part in a call."""

    def __init__(
        self,
        session: AgentSession[Any],
        agent: LivekitAgent,
        ctx: JobContext,
        metadata: DispatchMetadata,
        room_options: room_io.RoomOptions,
        targets: Mapping[str, str] | None,
        delegates: Mapping[str, str] | None,
        share: Any,
        hydrate: Hydrate | None,
        summarize: Summarize | None,
        options: dict[str, Any],
    ) -> None:
        self.session = session
        """The session."""
        self._agent = agent
        self._ctx = ctx
        self._room_options = room_options
        self._targets = targets
        self._delegates = delegates
        self._delegated: set[str] = set()
        self._has_task = False
        self._mirror = Mirror(share) if share is not None else None
        self._hydrate = hydrate
        self._summarize = summarize
        self._options = options
        output = room_options.get_audio_output_options()
        hears = room_options.get_audio_input_options()
        self._job = Job(
            ctx.room,
            metadata,
            sample_rate=output.sample_rate if output else 24_000,
            hearing=Hearing(
                sample_rate=hears.sample_rate if hears else 24_000,
                frame_ms=10,
                noise_cancellation=hears.noise_cancellation if hears else None,
            ),
            sdk_name="baton-livekit/livekit-agents",
        )
        self.call = self._job.call
        """The call: hand off, read the conversation and the state, change the state."""
        self._tasks = Tasks()
        self._tools_of_session = list(session.tools)
        self._tools: list[llm.Tool] = []
        self._outgoing = Outgoing()
        self._arrived: list[ContextItem] = []
        self._running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._entered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._on_enter = agent.on_enter
        self._has_entered = False
        self._closed = False
        self._ends = False
        self._owed: Owed | None = None
        self._spoke_at: float | None = None
        self._understood_at: float | None = None
        self._turn: asyncio.Task[Any] | None = None
        self._sharing: asyncio.Task[Any] | None = None
        self._shut_down = ctx.shutdown

    async def share(self) -> None:
        """Shares now what the mirrored object has of new. It happens by itself a few times a second while the baton is here.

        Raises `StateConflictError`, `StateForbiddenError` or `UnserialisableError`; after a conflict the object is as the
        state is.
        """
        if self._mirror is None:
            return
        changes = self._mirror.changes()
        if not changes:
            return
        try:
            await self.call.patch(changes)
        except BatonError:
            self._mirror.apply(self.call.memory.state)
            raise
        self._mirror.shared(changes)

    # Joining.

    async def _join(self) -> None:
        self._take_over_ends()
        self._agent.on_enter = self._enter  # type: ignore[method-assign]
        await self._job.join()
        running = asyncio.ensure_future(self._job.run(self))
        running.add_done_callback(self._over)
        await asyncio.wait((self._running, running), return_when=asyncio.FIRST_COMPLETED)
        if not self._running.done():
            if (error := running.exception()) is not None:
                raise error
            raise CallOverError
        await self._running

    def _take_over_ends(self) -> None:
        """What ends the call goes through Baton."""

        def delete_room(room_name: str | None = None) -> asyncio.Future[api.DeleteRoomResponse]:
            logger.info("the room is Baton's: it is not deleted, the specialist's part ends instead")
            self._end_part("the call is done")
            done: asyncio.Future[api.DeleteRoomResponse] = asyncio.get_running_loop().create_future()
            done.set_result(api.DeleteRoomResponse())
            return done

        def shutdown(reason: str = "") -> None:
            self._end_part(reason or "the agent is done")

        self._ctx.delete_room = delete_room  # type: ignore[method-assign]
        self._ctx.shutdown = shutdown  # type: ignore[method-assign]
        emit = self._ctx.room.emit

        def gated_emit(event: Any, *arguments: Any) -> None:
            # The caller's keys come from Baton, to who has the baton. In data packets they reach everybody in the room, and anybody
            # can send them.
            if event == "sip_dtmf_received" and not (self._job.is_alone and self.call.holds):
                return
            emit(event, *arguments)

        self._emit = emit
        self._ctx.room.emit = gated_emit  # type: ignore[method-assign]

    def _end_part(self, reason: str) -> None:
        if not self._ends:
            self._ends = True
            self._tasks.start(self._hand_back_and_leave(reason), "baton: end")

    async def _hand_back_and_leave(self, reason: str) -> None:
        if self.call.holds:
            self._sync()
            try:
                async with asyncio.timeout(HAND_BACK_MAX_SECS):
                    await self.call.hand_back(reason)
            except (HandoffError, TimeoutError) as error:
                logger.info("nobody takes over: %s; Baton goes on with its fallback", error)
        self.call.leave()

    def _over(self, running: "asyncio.Future[None]") -> None:
        error = None if running.cancelled() else running.exception()
        if error is not None:
            logger.error("the part in the call ended: %s", error)
        self._shut_down(reason=f"baton: {error}" if error is not None else "baton: the specialist's part is over")

    # What the job tells.

    async def prepare(self, call: Call, preparation: Preparation) -> None:
        state = call.memory.state
        if self._mirror is not None:
            self._mirror.apply(state)
        if self._hydrate is not None:
            hydrated = self._hydrate(state)
            if hydrated is not None:
                await hydrated
        if not self._running.done():
            await self._begin(call)
        await self._take_in()
        if preparation.task is not None or self._has_task:
            await self._take_task(call, preparation)

    async def granted(self, call: Call, grant: Granting) -> None:
        await self._take_in()
        await self._turn_ended()
        answers = isinstance(grant.opening, Greet | Continue)
        self._owed = Owed(time.monotonic(), call.memory.items, answers)
        self._spoke_at = self._understood_at = None
        self.session.input.set_audio_enabled(True)
        self._open(grant.opening)
        while True:
            await asyncio.sleep(SYNC_SECS)
            # What was heard of the last sentence of who had the baton before comes after the grant, and what the caller had said to it.
            await self._take_in()
            self._sync()
            if self._owed.due(time.monotonic(), self._is_busy):
                self.session.generate_reply()
            if self._sharing is None or self._sharing.done():
                self._sharing = self._tasks.start(self._share(), "baton: state")

    def finishing(self, call: Call) -> None:
        self._deafen()

    async def revoked(self, call: Call) -> None:
        self._deafen()
        if not self._running.done() or self._closed:
            return
        self._owed = None
        interrupted = self.session.interrupt(force=True)
        try:
            async with asyncio.timeout(2.0):
                await interrupted
        except TimeoutError:
            logger.debug("the session is not interrupted yet")
        await self._turn_ended()
        # What was heard of the last sentence is known now.
        self._sync()

    def items(self, call: Call, items: tuple[ContextItem, ...]) -> None:
        self._arrived += items
        if self._owed is not None:
            self._owed.arrived(time.monotonic(), items)

    def state_changed(self, call: Call, patch: dict[str, Any]) -> None:
        if self._mirror is not None:
            self._mirror.apply(call.memory.state)

    def digit(self, call: Call, digit: str) -> None:
        participant = self._ctx.room.remote_participants.get(call.caller or "")
        self._emit("sip_dtmf_received", rtc.SipDTMF(code=_DTMF_CODES[digit], digit=digit, participant=participant))

    async def summarize(self, call: Call) -> str | None:
        if self._summarize is not None:
            return await self._summarize()
        said = transcript(call.memory.items)
        own = self.session.current_agent.llm
        model = own if isinstance(own, llm.LLM) else self.session.llm
        if not said or not isinstance(model, llm.LLM):
            return None
        context = llm.ChatContext.empty()
        context.add_message(role="system", content=INSTRUCTIONS)
        context.add_message(role="user", content=said)
        async with model.chat(chat_ctx=context) as answer:
            return "".join([chunk.delta.content async for chunk in answer if chunk.delta and chunk.delta.content]) or None

    async def _share(self) -> None:
        try:
            await self.share()
        except BatonError as error:
            logger.warning("the state was not shared: %s", error)

    async def left(self, call: Call) -> None:
        self._ends = True
        if not self._entered.done():
            self._entered.set_result(False)
        await self._tasks.stop()

    # The session.

    async def _begin(self, call: Call) -> None:
        targets = call.targets if self._targets is None else self._targets
        if targets:
            self._tools.append(handoff_tool(call, targets, call.may_hand_back))
        if self._delegates:
            self._tools.append(delegate_tool(call, self._delegates, self._on_delegated))
        self._offer(None)
        options = self._room_options
        caller = self._job.connection.find_caller()
        if caller is not None:
            options.participant_identity = caller
        # The caller may come back; Baton says when the call is over.
        options.close_on_disconnect = False
        options.delete_room_on_close = False
        text = options.get_text_input_options()
        if text is not None:
            options.text_input = room_io.TextInputOptions(text_input_cb=self._gated_text(text.text_input_cb))
        if options.get_audio_input_options() is not None:
            self.session.input.audio = GatedInput(call.listen())
        if options.get_audio_output_options() is not None:
            self.session.output.audio = GatedOutput(call.voice)
        options.audio_input = False
        options.audio_output = False
        await self._take_in_before_start()
        self.session.on("conversation_item_added", lambda _: self._sync())
        self.session.on("function_tools_executed", lambda _: self._sync())
        self.session.on("tool_execution_updated", self._on_tool)
        self.session.on("speech_created", self._on_speech)
        self.session.on("user_state_changed", self._on_user_state)
        self.session.on("user_input_transcribed", self._on_understood)
        self.session.on("close", self._on_close)
        self._job.on_outcome(self._on_outcome)
        await self.session.start(self._agent, room=self._ctx.room, room_options=options, **self._options)
        self.session.input.set_audio_enabled(self.call.holds)
        self._running.set_result(None)

    def _offer(self, complete: llm.Tool | None) -> None:
        """Offers Baton's tools to whichever agent the session has: agents take over from one another inside of it."""
        ours = self._tools if complete is None else [*self._tools, complete]
        # The list that the session was made with may be that of others, too.
        self.session._tools = [*self._tools_of_session, *ours]

    def _gated_text(self, told: TextInputCallback) -> TextInputCallback:
        def gated(session: AgentSession[Any], event: room_io.TextInputEvent) -> Any:
            return told(session, event) if self.call.hears else None

        return gated

    async def _enter(self) -> None:
        """In place of the agent's own `on_enter`, which is its greeting: at the grant, if it is to greet. When another agent of the
        session gives way to it later, it enters as ever."""
        again, self._has_entered = self._has_entered, True
        if again or await asyncio.shield(self._entered):
            await self._on_enter()

    def _open(self, opening: Opening) -> None:
        first = not self._entered.done()
        greets = type(self._agent).on_enter is not LivekitAgent.on_enter
        if first:
            self._entered.set_result(isinstance(opening, Greet) and greets)
        match opening:
            case Greet():
                if not (first and greets):
                    self.session.generate_reply()
            case Continue():
                self.session.generate_reply()
            case Say(text):
                self._say(text)
            case Wait():
                pass

    def _say(self, text: str) -> None:
        try:
            self.session.say(text)
        except RuntimeError:
            # A realtime model that has no voice beside it, and takes no text to be said.
            self.session.generate_reply(instructions=f"Say exactly this, and nothing else: {text}")

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        """A realtime model answers what it has heard before the baton went."""
        if not self.call.hears:
            event.speech_handle.interrupt(force=True)

    @property
    def _is_busy(self) -> bool:
        """Whether the caller speaks, or the agent, or a turn of the caller's is understood and its end not told yet."""
        understood = self._understood_at is not None and time.monotonic() - self._understood_at < TURN_OPEN_SECS
        return understood or self.session.user_state == "speaking" or self.session.agent_state in ("thinking", "speaking")

    def _deafen(self) -> None:
        if self._running.done() and not self._closed:
            self.session.input.set_audio_enabled(False)
            if self._turn is None:
                self._turn = self._tasks.start(self._end_turn(), "baton: the caller's turn")

    async def _end_turn(self) -> None:
        """Gives the words of a turn that was begun to whoever takes over, and answers them not."""
        begun, self._spoke_at = self._spoke_at, None
        # A realtime model hears for itself.
        hears = isinstance(self.session.current_agent.llm or self.session.llm, llm.LLM)
        if hears and begun is not None and time.monotonic() - begun < TURN_OPEN_SECS:
            own = len(self.session.history.items)
            try:
                with self._no_guesses():
                    async with asyncio.timeout(TURN_MAX_SECS):
                        words = await self.session.commit_user_turn(
                            transcript_timeout=TURN_MAX_SECS, stt_flush_duration=FLUSH_SECS, skip_reply=True
                        )
            except (TimeoutError, RuntimeError):
                words = ""
            self.session.clear_user_turn()
            # The session may have been quicker.
            await asyncio.sleep(0)
            since = self.session.history.items[own:]
            if words and not any(item.type == "message" and item.role == "user" for item in since):
                self._put_in(llm.ChatMessage(role="user", content=[words]))
        else:
            self.session.clear_user_turn()

    @contextmanager
    def _no_guesses(self) -> Iterator[None]:
        """Has the model not be asked before a turn is over."""
        enabled = "enabled"
        settings = [self.session.options.preemptive_generation, self.session.current_agent._turn_handling.get("preemptive_generation")]
        guessing: list[Any] = [each for each in settings if each and each.get(enabled)]
        for each in guessing:
            each[enabled] = False
        try:
            yield
        finally:
            for each in guessing:
                each[enabled] = True

    def _put_in(self, item: llm.ChatItem) -> None:
        self.session.current_agent._chat_ctx.insert(item)
        self.session.history.insert(item)

    async def _turn_ended(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            await asyncio.gather(turn, return_exceptions=True)

    def _on_understood(self, event: UserInputTranscribedEvent) -> None:
        if event.transcript.strip():
            self._understood_at = time.monotonic()

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "speaking" or event.old_state == "speaking":
            self._spoke_at = time.monotonic()

    def _on_close(self, event: CloseEvent) -> None:
        self._closed = True
        self._sync()
        if event.reason is CloseReason.ERROR:
            # Baton has somebody else go on.
            logger.error("the session has failed: the specialist leaves the call")
            self.call.leave()
        elif event.reason is not CloseReason.JOB_SHUTDOWN:
            self._end_part("the session is closed")

    def _on_outcome(self, outcome: HandoffOutcome) -> None:
        if isinstance(outcome, HandoffFailed) and self.call.holds and not self._closed:
            self.session.generate_reply(
                instructions=f"The handoff failed: {outcome.detail}. Tell the caller, and go on helping yourself."
            )

    # Delegation.

    async def _take_task(self, call: Call, preparation: Preparation) -> None:
        """Tells the model its task, and offers what ends it; or takes both away."""
        self._has_task = preparation.task is not None
        agent = self.session.current_agent
        context = agent.chat_ctx.copy()
        context.items[:] = [item for item in context.items if item.id != _TASK]
        if self._has_task:
            text = task_text(preparation.task, preparation.source)
            context.items.append(llm.ChatMessage(id=_TASK, role="system", content=[text]))
        self._offer(complete_tool(call) if self._has_task else None)
        # A realtime model is told of the session's tools with those of its agent.
        await agent.update_tools(agent.tools)
        await agent.update_chat_ctx(context, exclude_invalid_function_calls=False)

    def _on_delegated(self, call_id: str, request: Request) -> None:
        """What the tool gives now does not travel: Baton gives the call its output."""
        self._delegated.add(call_id)
        self._tasks.start(self._until_delegated(call_id, request), "baton: delegation")

    async def _until_delegated(self, call_id: str, request: Request) -> None:
        try:
            await request.done()
        except HandoffError as error:
            self._delegated.discard(call_id)
            for item in (*self.session.history.items, *self.session.current_agent.chat_ctx.items):
                if isinstance(item, llm.FunctionCallOutput) and item.call_id == call_id:
                    item.output, item.is_error = str(error), True
            self._sync()

    # The conversation.

    def _sync(self) -> None:
        """Gives Baton what the session has of new."""
        if not self._running.done():
            return
        news = self._outgoing.news([item for item in self.session.history.items if not self._stands_in(item)])
        if news:
            self.call.append(*news)
            if self._owed is not None:
                self._owed.said(time.monotonic(), news)

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        """Gives Baton a call as it begins: the history has it with its result only, and after a switch only the result of a
        known call is taken."""
        if isinstance(event.update, ToolCallStarted) and self.call.holds:
            self._sync()
            started = self._outgoing.news([event.update.function_call])
            if started:
                self.call.append(*started)

    def _decoded(self) -> list[llm.ChatItem]:
        arrived, self._arrived = self._arrived, []
        items = [item for each in arrived if (item := decode(each)) is not None]
        for item in items:
            self._outgoing.known(item)
        return items

    def _stands_in(self, item: llm.ChatItem) -> bool:
        """Whether it is what a tool has given in place of a result that only Baton has."""
        return isinstance(item, llm.FunctionCallOutput) and item.call_id in self._delegated

    async def _take_in_before_start(self) -> None:
        items = self._decoded()
        await self._give(self._agent, items)

    async def _take_in(self) -> None:
        items = self._decoded()
        if items:
            await self._give(self.session.current_agent, items)

    async def _give(self, agent: LivekitAgent, items: list[llm.ChatItem]) -> None:
        context = agent.chat_ctx.copy()
        _put(context, items)
        _put(self.session.history, items)
        self._delegated -= {item.call_id for item in items if isinstance(item, llm.FunctionCallOutput)}
        # The calls of other specialists' tools are a part of what happened.
        await agent.update_chat_ctx(context, exclude_invalid_function_calls=False)


def _put(context: llm.ChatContext, items: list[llm.ChatItem]) -> None:
    """Takes items in, in their order, and before what was said after them; one with a known id takes the place of the one that
    is there, and a result that of another one of its call: Baton has one for each."""
    for item in items:
        place = next((place for place, each in enumerate(context.items) if _replaces(item, each)), None)
        if place is not None:
            context.items[place] = item
        else:
            context.insert(item)


def _replaces(item: llm.ChatItem, known: llm.ChatItem) -> bool:
    if isinstance(item, llm.FunctionCallOutput) and isinstance(known, llm.FunctionCallOutput):
        return known.id == item.id or known.call_id == item.call_id
    return known.id == item.id
