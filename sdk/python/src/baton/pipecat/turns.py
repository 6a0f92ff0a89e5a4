"""Who has not the baton takes no turn: nothing that the caller says counts for it, and its model is not asked.

A pipeline gets no sound of the caller's then, but what it has heard before is still on its way: the end of a turn that was begun, a
transcript, the result of a function. Each of them would have the model asked, and what it says written down as said.
"""

from collections.abc import Callable, Iterator
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


class Turns:
    """The caller's turns in a pipeline."""

    def __init__(self, pipeline: FrameProcessor, hears: Callable[[], bool]) -> None:
        """`hears` says whether what the caller says now is for this pipeline."""
        self._aggregators = [each for each in _within(pipeline) if isinstance(each, LLMUserAggregator)]
        for aggregator in self._aggregators:
            _only_while(aggregator, hears, _OF_A_TURN)

    async def forget(self) -> None:
        """Drops the turn that was begun: who takes over hears it."""
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


def ask_only_while(llm: LLMService[Any], hears: Callable[[], bool]) -> None:
    """Has the model asked only while this holds."""
    _only_while(llm, hears, (LLMContextFrame,))


def _only_while(processor: FrameProcessor, holds: Callable[[], bool], kinds: tuple[type[Frame], ...]) -> None:
    """Has a processor take frames of these kinds only while this holds."""
    process = processor.process_frame

    async def process_frame(frame: Frame, direction: FrameDirection) -> None:
        if holds() or not isinstance(frame, kinds):
            await process(frame, direction)

    processor.process_frame = process_frame  # type: ignore[method-assign]


def _within(processor: FrameProcessor) -> Iterator[FrameProcessor]:
    yield processor
    for each in processor.processors:
        yield from _within(each)
