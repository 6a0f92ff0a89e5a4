"""Reasons as they travel: a short list of names, each with a sentence beside it for people.

A name that this version does not know arrives as `UNKNOWN`. The values are the names as they are logged.
"""

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a frame was not accepted."""

    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_VERSION = "unsupported_version"
    WRONG_CALL = "wrong_call"
    WRONG_STREAM = "wrong_stream"
    OUT_OF_WINDOW = "out_of_window"
    UNKNOWN_BODY = "unknown_body"
    WRONG_DIRECTION = "wrong_direction"
    STALE_EPOCH = "stale_epoch"
    STALE_HANDOFF = "stale_handoff"
    NOT_HOLDER = "not_holder"
    UNBOUND = "unbound"
    IDENTITY_TAKEN = "identity_taken"
    DUPLICATE = "duplicate"
    UNEXPECTED = "unexpected"
    CALL_OVER = "call_over"
    CONTEXT_NOT_APPLIED = "context_not_applied"


class RefuseReason(StrEnum):
    """Why a handoff was not tried."""

    UNKNOWN = "unknown"
    IN_PROGRESS = "in_progress"
    UNKNOWN_TARGET = "unknown_target"
    ALREADY_HOLDER = "already_holder"
    NO_ROUTE = "no_route"
    NO_PREVIOUS = "no_previous"
    TOO_MANY = "too_many"
    CLOSED = "closed"
    NO_ANSWER = "no_answer"
    COOLING_DOWN = "cooling_down"
    NO_DELEGATION = "no_delegation"
    TOO_DEEP = "too_deep"
    BAD_PAYLOAD = "bad_payload"


class FailReason(StrEnum):
    """Why a handoff was tried in vain; the asker has the baton as before."""

    UNKNOWN = "unknown"
    DISPATCH_FAILED = "dispatch_failed"
    NEVER_JOINED = "never_joined"
    NEVER_GREETED = "never_greeted"
    NEVER_READY = "never_ready"
    REFUSED = "refused"
    LOST_WHILE_PREPARING = "lost_while_preparing"
    LOST_WHILE_SWITCHING = "lost_while_switching"
    NEVER_GRANTED = "never_granted"
    TOO_MANY_INSTANCES = "too_many_instances"
    CALL_ENDED = "call_ended"
    NO_ANSWER = "no_answer"


class Phase(StrEnum):
    """How a call stands."""

    IDLE = "idle"
    PREPARING = "preparing"
    READY = "ready"
    SWITCHING = "switching"
    ACTIVE = "active"


class ContextRefuseReason(StrEnum):
    """Why an item was not taken."""

    UNKNOWN = "unknown"
    NOT_HOLDER = "not_holder"
    STALE_EPOCH = "stale_epoch"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    FULL = "full"
    CHANGES_KIND = "changes_kind"
    NOT_OWN = "not_own"
