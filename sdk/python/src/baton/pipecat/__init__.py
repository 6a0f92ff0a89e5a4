"""Let a bot of Pipecat take part in Baton's calls.

    from baton import pipecat as baton

    async def bot(call: baton.Call) -> None:
        transport = baton.Transport(call, LiveKitParams(audio_in_enabled=True, audio_out_enabled=True))
        ...                                     # services, context and pipeline as ever
        await baton.take_part(call, worker, context, llm=llm)   # in place of running the worker

    baton.run("payments", bot)

The transport is LiveKit's, on a client of its own: closed to everybody but Baton before it publishes, and deaf to everybody
but the caller.
"""

from baton.pipecat.session import Bot, NoPartError, Participation, run, share, take_part
from baton.pipecat.transport import SampleRateError, Transport
from baton.shared import Local, NotMirrorableError, StateFieldError
from baton.specialist import Call

__all__ = [
    "Bot",
    "Call",
    "Local",
    "NoPartError",
    "NotMirrorableError",
    "Participation",
    "SampleRateError",
    "StateFieldError",
    "Transport",
    "run",
    "share",
    "take_part",
]
