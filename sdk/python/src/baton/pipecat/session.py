"""A pipeline between the gates: prepared, granted, revoked."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.flows import FlowManager, NodeConfig
from pipecat.frames.frames import (
    FunctionCallFromLLM,
    FunctionCallResultProperties,
    InputDTMFFrame,
    InterruptionWorkerFrame,
    LLMRunFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.workers.runner import WorkerRunner

from baton.bodies import ContextItem, Continue, Greet, Opening, Say, Wait
from baton.errors import BatonError
from baton.owed import Owed
from baton.pipecat.messages import Mirror as Messages
from baton.pipecat.tools import keep
from baton.pipecat.turns import Asking, Turns
from baton.shared import Mirror
from baton.specialist import Agent, Call, Granting, HandoffError, Hearing, Preparation, Request, Specialist
from baton.specialist.tasks import Tasks
from baton.summary import INSTRUCTIONS, Summarize, transcript
from baton.targets import (
    COMPLETE,
    DELEGATE,
    NAME,
    complete_description,
    complete_parameters,
    delegate_description,
    delegate_parameters,
    description,
    parameters,
    task_text,
    taken_up,
)

SYNC_SECS = 0.2
"""How often what has changed is looked for."""
BUILD_MAX_SECS = 30.0
"""How long a bot may take until its pipeline runs."""

logger = logging.getLogger("baton")

Bot = Callable[[Call], Awaitable[None]]
"""Builds the pipeline of a call, and calls `take_part`."""
Hydrate = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Rebuilds what does not travel, from the state, before the specialist is ready."""


class NoPartError(BatonError):
    """A bot has not called `take_part`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the bot does not take part: {why}; its function has to call `take_part` with its worker")


def run(agent_name: str, bot: Bot, *, sample_rate: int = 24_000, in_sample_rate: int = 16_000, max_calls: int = 20) -> None:
    """Takes calls under this name until SIGTERM or SIGINT. `sample_rate` is what the pipeline puts out. LiveKit's environment
    variables say where: `LIVEKIT_URL`, `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET`. Raises `WorkerError`."""
    hearing = Hearing(sample_rate=in_sample_rate, frame_ms=20)
    specialist = Specialist(agent_name, max_calls=max_calls, sample_rate=sample_rate, hearing=hearing)
    asyncio.run(specialist.run(lambda call: _Bot(call, bot)))


async def take_part(
    call: Call,
    worker: PipelineWorker,
    context: LLMContext,
    *,
    llm: LLMService[Any] | Sequence[LLMService[Any]] | None = None,
    targets: Mapping[str, str] | None = None,
    delegates: Mapping[str, str] | None = None,
    share: Any = None,
    hydrate: Hydrate | None = None,
    summarize: Summarize | None = None,
    flow: FlowManager | None = None,
    node: NodeConfig | None = None,
    runner: WorkerRunner | None = None,
) -> None:
    """Runs the pipeline while the call lasts, in place of a runner.

    `context` mirrors the conversation. With `llm`, the model may hand off to `targets`: specialists, and what each is for; by
    default those of the routes. Where several workers have a model each, `llm` is all of them. `delegates` are those that it
    may have do something and come back with the result; by default none.
    `share` is a dataclass or a pydantic model that mirrors the shared state; `hydrate` is called with the state before the
    specialist is ready.
    `summarize` makes the summary that a route with `context: summary` asks for; by default the first `llm` does.
    `flow` is initialized with `node` when the baton first comes, and says something then only if the opening is to.
    `runner` has the workers beside this one on its bus, and is run in place of one that is made here; it is to handle no signals.

    Raises `NoPartError` outside of `baton.pipecat.run`, or for a flow without a node; `NotMirrorableError`.
    """
    bot = _bots.get(id(call))
    if bot is None:
        raise NoPartError("it was not started by `baton.pipecat.run`")
    if flow is not None and node is None:
        raise NoPartError("its flow has no node to begin with, and `take_part` needs that, too")
    llms = [] if llm is None else [llm] if isinstance(llm, LLMService) else list(llm)
    part = Participation(call, worker, context, llms, targets, delegates, share, hydrate, summarize, flow, node)
    await bot.runs(part, runner)


async def share(call: Call) -> None:
    """Shares now what the object that mirrors the state has of new. It happens by itself a few times a second while the baton is here.

    Raises `StateConflictError`, `StateForbiddenError` or `UnserialisableError`; after a conflict the object is as the state is.
    `NoPartError` before `take_part`.
    """
    bot = _bots.get(id(call))
    if bot is None or bot.part is None:
        raise NoPartError("nothing of it is mirrored yet")
    await bot.part.share()


class Participation:
    """A pipeline's part in a call."""

    def __init__(
        self,
        call: Call,
        worker: PipelineWorker,
        context: LLMContext,
        llms: list[LLMService[Any]],
        targets: Mapping[str, str] | None,
        delegates: Mapping[str, str] | None,
        share: Any,
        hydrate: Hydrate | None,
        summarize: Summarize | None,
        flow: FlowManager | None,
        node: NodeConfig | None,
    ) -> None:
        self.call = call
        """The call."""
        self.worker = worker
        """What runs the pipeline."""
        self._context = context
        self._messages = Messages()
        self._messages.news(context.messages)
        self._mirror = Mirror(share) if share is not None else None
        self._hydrate = hydrate
        # What came before the bot was there.
        self._arrived: list[ContextItem] = list(call.memory.items)
        self._tasks = Tasks()
        self._sharing: asyncio.Task[Any] | None = None
        self.started = asyncio.Event()
        """Set when the pipeline runs."""
        self._llms = llms
        self._summarize = summarize
        self._kept = False
        self._targets = targets
        self._delegates = delegates
        self._functions: dict[str, FunctionSchema | None] = {}
        self._task_message: dict[str, Any] | None = None
        self._flow = flow
        self._node = node

        async def started(*_: Any) -> None:
            self.started.set()

        worker.add_event_handler("on_pipeline_started", started)
        self._turns = Turns(worker.pipeline, lambda: call.hears)
        self._asking = Asking(llms, lambda: call.hears)
        self._ending = asyncio.Lock()
        self._owed: Owed | None = None
        for llm in llms:
            llm.add_event_handler("on_function_calls_started", self._called)

    async def share(self) -> None:
        """As `baton.pipecat.share`."""
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

    async def prepare(self, preparation: Preparation) -> None:
        """Takes over what there is."""
        state = self.call.memory.state
        if self._mirror is not None:
            self._mirror.apply(state)
        if self._hydrate is not None:
            hydrated = self._hydrate(state)
            if hydrated is not None:
                await hydrated
        self.take_in()
        # Baton's Welcome, which has the routes, may have come after the bot was made.
        if self._llms and not self._kept:
            targets = self.call.targets if self._targets is None else self._targets
            if targets:
                self._functions[NAME] = self._handoff(targets)
            if self._delegates:
                self._functions[DELEGATE] = self._delegate(self._delegates)
            keep(self._context, self._functions)
            self._kept = True
        if self._llms and (preparation.task is not None or self._task_message is not None):
            self._take_task(preparation)

    def _take_task(self, preparation: Preparation) -> None:
        """Tells the model its task, and offers what ends it; or takes both away."""
        messages = [each for each in self._context.messages if each is not self._task_message]
        self._task_message = None
        if preparation.task is not None:
            text = task_text(preparation.task, preparation.source)
            self._task_message = {"role": "system", "content": text}
            self._messages.own(self._task_message)
            messages.append(cast(Any, self._task_message))
        self._context.set_messages(messages)
        self._functions[COMPLETE] = None if preparation.task is None else self._complete()
        self._context.set_tools(self._context.tools)

    async def granted(self, opening: Opening) -> None:
        """Opens, and shares what happens until it is cancelled."""
        self.take_in()
        self._messages.mark(self._context.messages)
        self._turns.begin()
        self._owed = Owed(time.monotonic(), self.call.memory.items, isinstance(opening, Greet | Continue))
        flow, self._flow = self._flow, None
        if flow is not None and self._node is not None:
            await flow.initialize(_opened(self._node, opening))
        match opening:
            case Greet() | Continue():
                if flow is None:
                    await self.worker.queue_frame(LLMRunFrame())
            case Say(text):
                await self.worker.queue_frame(TTSSpeakFrame(text))
            case Wait():
                pass
        while True:
            await asyncio.sleep(SYNC_SECS)
            # What was heard of the last sentence of who had the baton before comes after the grant, and what the caller had said to it.
            self.take_in()
            self.sync()
            busy = self._turns.is_open or self._asking.is_answering or self.call.voice.is_busy
            if self._owed.due(time.monotonic(), busy):
                await self.worker.queue_frame(LLMRunFrame())
            if self._sharing is None or self._sharing.done():
                self._sharing = self._tasks.start(self._share(), "baton: state")

    async def finishing(self) -> None:
        """Hears no more."""
        await self._end_turn()

    async def revoked(self) -> None:
        """Falls silent."""
        self._owed = None
        await self._end_turn()
        await self.worker.queue_frame(InterruptionWorkerFrame())
        await asyncio.sleep(SYNC_SECS)
        self.sync()

    async def _end_turn(self) -> None:
        """Gives the words of a turn that was begun to whoever takes over, and answers them not."""
        async with self._ending:
            if words := await self._turns.end():
                self._context.add_message({"role": "user", "content": words})
                self.sync()

    def arrived(self, items: tuple[ContextItem, ...]) -> None:
        """Others have said this."""
        self._arrived += items
        if self._owed is not None:
            self._owed.arrived(time.monotonic(), items)

    def state_changed(self) -> None:
        """Somebody else has changed the state."""
        if self._mirror is not None:
            self._mirror.apply(self.call.memory.state)

    async def summarize(self) -> str | None:
        """Sums the conversation up for the one who takes over."""
        if self._summarize is not None:
            return await self._summarize()
        self.sync()
        said = transcript(self.call.memory.items)
        if not said or not self._llms:
            return None
        context = LLMContext([{"role": "user", "content": said}])
        return await self._llms[0].run_inference(context, system_instruction=INSTRUCTIONS)

    async def digit(self, digit: str) -> None:
        """The caller has pressed a key."""
        try:
            key = KeypadEntry(digit)
        except ValueError:
            logger.debug("a key that Pipecat does not know")
            return
        await self.worker.queue_frame(InputDTMFFrame(button=key))

    async def stop(self) -> None:
        """Ends."""
        await self._tasks.stop()

    def take_in(self) -> None:
        """Puts what has arrived into the context."""
        arrived, self._arrived = tuple(self._arrived), []
        if arrived:
            self._context.set_messages(self._messages.take(arrived, self._context.messages))

    def sync(self) -> None:
        """Gives Baton what the context has of new."""
        news = self._messages.news(self._context.messages)
        if news:
            self.call.append(*news)
            if self._owed is not None:
                self._owed.said(time.monotonic(), news)

    async def _share(self) -> None:
        try:
            await self.share()
        except BatonError as error:
            logger.warning("the state was not shared: %s", error)

    async def _called(self, _: Any, calls: Sequence[FunctionCallFromLLM]) -> None:
        """Gives Baton calls as they begin: the context has them behind what is to be said before them, and after a switch only
        the result of a known call is taken."""
        for each in calls:
            self._begin(each.tool_call_id, each.function_name, each.arguments)

    def _begin(self, call: str, name: str, arguments: Mapping[str, Any]) -> None:
        if self.call.holds and (begun := self._messages.begun(call, name, arguments)) is not None:
            self.sync()
            self.call.append(begun)

    def _handoff(self, targets: Mapping[str, str]) -> FunctionSchema:
        previous = self.call.may_hand_back

        async def handoff(params: FunctionCallParams) -> None:
            to = str(params.arguments.get("to", ""))
            reason = str(params.arguments.get("reason", ""))
            target = None if previous and to == "previous" else to
            await self._ask(params, f"{to} takes over", lambda call: self.call.request(target, reason, tool_call=call))

        return _function(NAME, description(targets, previous), parameters(targets, previous), handoff)

    def _delegate(self, delegates: Mapping[str, str]) -> FunctionSchema:
        async def delegate(params: FunctionCallParams) -> None:
            to, task = str(params.arguments.get("to", "")), str(params.arguments.get("task", ""))
            call = params.tool_call_id
            self._messages.delegated(call)
            request = await self._ask(
                params, taken_up(to), lambda call: self.call.request(to, task, tool_call=call, task=task)
            )
            if request is not None:
                self._tasks.start(self._until_delegated(call, request), "baton: delegation")

        return _function(DELEGATE, delegate_description(delegates), delegate_parameters(delegates), delegate)

    async def _until_delegated(self, call: str, request: Request) -> None:
        try:
            await request.done()
        except HandoffError as error:
            self._messages.failed(call, str(error), self._context.messages)
            self.sync()

    def _complete(self) -> FunctionSchema:
        async def complete_task(params: FunctionCallParams) -> None:
            result = str(params.arguments.get("result", ""))
            await self._ask(
                params,
                "the task is done",
                lambda call: self.call.request(None, "the task is done", tool_call=call, result=result),
            )

        return _function(COMPLETE, complete_description(), complete_parameters(), complete_task)

    async def _ask(
        self, params: FunctionCallParams, result: str, request: Callable[[str], Request]
    ) -> Request | None:
        """Asks for the baton to go, and gives the function its result: why it does not, or that it is under way, and then the
        model says nothing more."""
        self._begin(params.tool_call_id, params.function_name, params.arguments)
        try:
            asked = request(params.tool_call_id)
            await asked.under_way()
        except HandoffError as error:
            self._messages.failed(params.tool_call_id, str(error), [])
            await params.result_callback({"error": str(error)})
            return None
        quiet = FunctionCallResultProperties(run_llm=False)
        await params.result_callback({"result": result}, properties=quiet)
        return asked


class _Bot(Agent):
    """What the job tells, for a participation that is made meanwhile."""

    def __init__(self, call: Call, bot: Bot) -> None:
        self._call = call
        self._bot = bot
        self.part: Participation | None = None
        """What `take_part` has made."""
        self._made = asyncio.Event()
        self._runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        self._task: asyncio.Task[None] | None = None
        self._tasks = Tasks()
        _bots[id(call)] = self

    async def runs(self, part: Participation, runner: WorkerRunner | None) -> None:
        """Runs the pipeline until the call is over."""
        self.part = part
        self._runner = runner or self._runner
        self._made.set()
        if self._runner.get_worker(part.worker.name) is None:
            await self._runner.add_workers(part.worker)
        await self._runner.run()

    async def joined(self, call: Call) -> None:
        self._task = asyncio.ensure_future(self._bot(call))
        self._task.add_done_callback(self._ended)

    async def prepare(self, call: Call, preparation: Preparation) -> None:
        try:
            async with asyncio.timeout(BUILD_MAX_SECS):
                part = await self._there()
                await part.started.wait()
        except TimeoutError:
            raise NoPartError(f"its pipeline did not start within {BUILD_MAX_SECS:g} s") from None
        await part.prepare(preparation)

    async def granted(self, call: Call, grant: Granting) -> None:
        await (await self._there()).granted(grant.opening)

    async def summarize(self, call: Call) -> str | None:
        return None if self.part is None else await self.part.summarize()

    def finishing(self, call: Call) -> None:
        if self.part is not None:
            self._tasks.start(self.part.finishing(), "baton: finishing")

    async def revoked(self, call: Call) -> None:
        if self.part is not None:
            await self.part.revoked()

    def items(self, call: Call, items: tuple[ContextItem, ...]) -> None:
        if self.part is not None:
            self.part.arrived(items)

    def state_changed(self, call: Call, patch: dict[str, Any]) -> None:
        if self.part is not None:
            self.part.state_changed()

    def digit(self, call: Call, digit: str) -> None:
        if self.part is not None:
            self._tasks.start(self.part.digit(digit), "baton: digit")

    async def left(self, call: Call) -> None:
        _bots.pop(id(call), None)
        if self.part is not None:
            await self.part.stop()
        await self._tasks.stop()
        await self._runner.cancel(reason="baton: the specialist's part is over")
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _there(self) -> Participation:
        await self._made.wait()
        assert self.part is not None
        return self.part

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the bot failed", exc_info=error)
        # Whoever has no pipeline any more has nothing to say.
        self._call.leave()


def _function(
    name: str, description: str, schema: dict[str, Any], handler: Callable[[FunctionCallParams], Awaitable[None]]
) -> FunctionSchema:
    return FunctionSchema(
        name=name,
        description=description,
        properties=schema["properties"],
        required=schema["required"],
        handler=tool_options(cancel_on_interruption=True)(handler),
    )


def _opened(node: NodeConfig, opening: Opening) -> NodeConfig:
    """A flow's first node, which says nothing by itself unless it is to open the conversation."""
    if isinstance(opening, Greet | Continue):
        return node
    silent = node.copy()
    silent["respond_immediately"] = False
    if "pre_actions" in node:
        silent["pre_actions"] = [action for action in node["pre_actions"] if action["type"] != "tts_say"]
    return silent


_bots: dict[int, _Bot] = {}
"""By the identity of the call's object."""
