"""Take part in calls: a specialist on the real room of LiveKit's SDK.

`Specialist` is a whole process: it registers with the server, and has an `Agent` for each call. `Job` is one call in a
room that somebody else joins; the adapters are made of it.
"""

from baton.specialist.agent import (
    Agent,
    Call,
    CallOverError,
    DelegationError,
    Granting,
    HandoffError,
    HandoffFailedError,
    HandoffRefusedError,
    MakeAgent,
    NotHolderError,
    NotSentError,
    Preparation,
    RefusalError,
    Request,
    StateConflictError,
    StateError,
    StateForbiddenError,
    StateTimeoutError,
    TooManyRequestsError,
    UnknownTargetError,
    UnserialisableError,
)
from baton.specialist.caller import Hearing, Listener
from baton.specialist.job import AgentFailedError, Job, NotWelcomedError, VersionMismatchError
from baton.specialist.process import Specialist
from baton.specialist.room import ConnectionLostError
from baton.specialist.voice import NoBatonError, Utterance, Voice
from baton.specialist.worker import WorkerError

__all__ = [
    "Agent",
    "AgentFailedError",
    "Call",
    "CallOverError",
    "ConnectionLostError",
    "DelegationError",
    "Granting",
    "HandoffError",
    "HandoffFailedError",
    "HandoffRefusedError",
    "Hearing",
    "Job",
    "Listener",
    "MakeAgent",
    "NoBatonError",
    "NotHolderError",
    "NotSentError",
    "NotWelcomedError",
    "Preparation",
    "RefusalError",
    "Request",
    "Specialist",
    "StateConflictError",
    "StateError",
    "StateForbiddenError",
    "StateTimeoutError",
    "TooManyRequestsError",
    "UnknownTargetError",
    "UnserialisableError",
    "Utterance",
    "VersionMismatchError",
    "Voice",
    "WorkerError",
]
