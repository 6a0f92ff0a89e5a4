"""Who has not the baton takes no turn: nothing that the caller says counts for it, and its model is not asked.

A pipeline gets no sound of the caller's then, but what it has heard before is still on its way: the end of a turn that was begun, a
transcript, the result of a function. Each of them would have the model asked, and what it says written down as said. The words of a turn that was
begun go to whoever takes over, as what the caller said.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipecat.audio.vad.vad_analyzer import VADState
from pipecat.frames.frames import (
    EagerTranscriptionFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.turns.user_stop.base_user_turn_stop_strategy import UserTurnStoppedParams

_OF_A_TURN = (
    EagerTranscriptionFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
"""What a turn of the caller's is made of."""


WORDS_MAX_SECS = 0.3
"""How long the words of a turn are waited for that was begun when the baton went."""


class Turns:
    """The caller's turns in a pipeline."""

    def __init__(self, pipeline: FrameProcessor, hears: Callable[[], bool]) -> None:
        """`hears` says whether what the caller says now is for this pipeline."""
        self._aggregators = [each for each in _within(pipeline) if isinstance(each, LLMUserAggregator)]
        self._late: list[str] = []
        self._came = asyncio.Event()
        for aggregator in self._aggregators:
            _only_while(aggregator, hears, _OF_A_TURN, self._passed_over)

    @property
    def is_open(self) -> bool:
        """Whether the caller is in a turn, until its end is told."""
        controllers = (each._user_turn_controller for each in self._aggregators)
        return any(controller._user_turn or controller._user_speaking for controller in controllers)

    def begin(self) -> None:
        """The baton is here: what was heard before is over."""
        self._late.clear()

    async def end(self) -> str:
        """Ends the turn that was begun, with no answer, and gives its words, for who takes over."""
        words = [each.aggregation_string() for each in self._aggregators if each._aggregation]
        waits = self.is_open and (not words or self._speaks) and not self._late
        self._came.clear()
        await self._forget()
        if waits:
            try:
                async with asyncio.timeout(WORDS_MAX_SECS):
                    await self._came.wait()
            except TimeoutError:
                pass
        late, self._late = self._late, []
        return " ".join(text.strip() for text in (*words, *late) if text.strip())

    @property
    def _speaks(self) -> bool:
        activities = (each._vad_controller for each in self._aggregators)
        return any(activity is not None and activity._vad_state is VADState.SPEAKING for activity in activities)

    def _passed_over(self, frame: Frame) -> None:
        if isinstance(frame, TranscriptionFrame):
            self._late.append(frame.text)
            self._came.set()

    async def _forget(self) -> None:
        for aggregator in self._aggregators:
            await aggregator.reset()  # type: ignore[no-untyped-call]
            aggregator._full_user_turn_aggregation = None
            await _end_speech(aggregator)
            controller = aggregator._user_turn_controller
            controller._user_speaking = False
            # A turn of no words would have the model ask the caller for them.
            asks, aggregator._params.empty_user_turn = aggregator._params.empty_user_turn, None
            try:
                await controller._trigger_user_turn_stop(None, UserTurnStoppedParams(enable_user_speaking_frames=True))
            finally:
                aggregator._params.empty_user_turn = asks


async def _end_speech(aggregator: LLMUserAggregator) -> None:
    """Has the voice activity begin anew: no sound comes that would tell it that the caller is silent."""
    activity = aggregator._vad_controller
    if activity is None:
        return
    analyzer = activity._vad_analyzer
    # This is how it is set back.
    analyzer.set_params(analyzer.params)
    if activity._vad_state is VADState.SPEAKING:
        activity._vad_state = VADState.QUIET
        # Services that cut speech into pieces end theirs: what is in it is not for the next turn.
        await activity._call_event_handler("on_speech_stopped")


class Asking:
    """The models of a pipeline: asked only while `hears` holds."""

    def __init__(self, llms: Iterable[LLMService[Any]], hears: Callable[[], bool]) -> None:
        self._answers = 0
        for llm in llms:
            self._count(llm)
            _only_while(llm, hears, (LLMContextFrame,), lambda _: None)

    @property
    def is_answering(self) -> bool:
        """Whether one of them makes an answer."""
        return self._answers > 0

    def _count(self, llm: LLMService[Any]) -> None:
        process = llm.process_frame

        async def process_frame(frame: Frame, direction: FrameDirection) -> None:
            asked = isinstance(frame, LLMContextFrame)
            self._answers += asked
            try:
                await process(frame, direction)
            finally:
                self._answers -= asked

        llm.process_frame = process_frame  # type: ignore[method-assign]


def _only_while(
    processor: FrameProcessor, holds: Callable[[], bool], kinds: tuple[type[Frame], ...], passed_over: Callable[[Frame], None]
) -> None:
    """Has a processor take frames of these kinds only while this holds, and tells of the others."""
    process = processor.process_frame

    async def process_frame(frame: Frame, direction: FrameDirection) -> None:
        if holds() or not isinstance(frame, kinds):
            await process(frame, direction)
        else:
            passed_over(frame)

    processor.process_frame = process_frame  # type: ignore[method-assign]


def _within(processor: FrameProcessor) -> Iterator[FrameProcessor]:
    yield processor
    for each in processor.processors:
        yield from _within(each)
