from baton.v1 import context_pb2 as _context_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RevokeMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVOKE_MODE_UNSPECIFIED: _ClassVar[RevokeMode]
    REVOKE_MODE_FINISH: _ClassVar[RevokeMode]
    REVOKE_MODE_CUT: _ClassVar[RevokeMode]

class RefuseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSE_REASON_UNSPECIFIED: _ClassVar[RefuseReason]
    REFUSE_REASON_IN_PROGRESS: _ClassVar[RefuseReason]
    REFUSE_REASON_UNKNOWN_TARGET: _ClassVar[RefuseReason]
    REFUSE_REASON_ALREADY_HOLDER: _ClassVar[RefuseReason]
    REFUSE_REASON_NO_ROUTE: _ClassVar[RefuseReason]
    REFUSE_REASON_NO_PREVIOUS: _ClassVar[RefuseReason]
    REFUSE_REASON_TOO_MANY: _ClassVar[RefuseReason]
    REFUSE_REASON_CLOSED: _ClassVar[RefuseReason]
    REFUSE_REASON_NO_ANSWER: _ClassVar[RefuseReason]
    REFUSE_REASON_COOLING_DOWN: _ClassVar[RefuseReason]
    REFUSE_REASON_NO_DELEGATION: _ClassVar[RefuseReason]
    REFUSE_REASON_TOO_DEEP: _ClassVar[RefuseReason]
    REFUSE_REASON_BAD_PAYLOAD: _ClassVar[RefuseReason]

class FailReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAIL_REASON_UNSPECIFIED: _ClassVar[FailReason]
    FAIL_REASON_DISPATCH_FAILED: _ClassVar[FailReason]
    FAIL_REASON_NEVER_JOINED: _ClassVar[FailReason]
    FAIL_REASON_NEVER_GREETED: _ClassVar[FailReason]
    FAIL_REASON_NEVER_READY: _ClassVar[FailReason]
    FAIL_REASON_REFUSED: _ClassVar[FailReason]
    FAIL_REASON_LOST_WHILE_PREPARING: _ClassVar[FailReason]
    FAIL_REASON_LOST_WHILE_SWITCHING: _ClassVar[FailReason]
    FAIL_REASON_NEVER_GRANTED: _ClassVar[FailReason]
    FAIL_REASON_TOO_MANY_INSTANCES: _ClassVar[FailReason]
    FAIL_REASON_CALL_ENDED: _ClassVar[FailReason]
    FAIL_REASON_NO_ANSWER: _ClassVar[FailReason]
REVOKE_MODE_UNSPECIFIED: RevokeMode
REVOKE_MODE_FINISH: RevokeMode
REVOKE_MODE_CUT: RevokeMode
REFUSE_REASON_UNSPECIFIED: RefuseReason
REFUSE_REASON_IN_PROGRESS: RefuseReason
REFUSE_REASON_UNKNOWN_TARGET: RefuseReason
REFUSE_REASON_ALREADY_HOLDER: RefuseReason
REFUSE_REASON_NO_ROUTE: RefuseReason
REFUSE_REASON_NO_PREVIOUS: RefuseReason
REFUSE_REASON_TOO_MANY: RefuseReason
REFUSE_REASON_CLOSED: RefuseReason
REFUSE_REASON_NO_ANSWER: RefuseReason
REFUSE_REASON_COOLING_DOWN: RefuseReason
REFUSE_REASON_NO_DELEGATION: RefuseReason
REFUSE_REASON_TOO_DEEP: RefuseReason
REFUSE_REASON_BAD_PAYLOAD: RefuseReason
FAIL_REASON_UNSPECIFIED: FailReason
FAIL_REASON_DISPATCH_FAILED: FailReason
FAIL_REASON_NEVER_JOINED: FailReason
FAIL_REASON_NEVER_GREETED: FailReason
FAIL_REASON_NEVER_READY: FailReason
FAIL_REASON_REFUSED: FailReason
FAIL_REASON_LOST_WHILE_PREPARING: FailReason
FAIL_REASON_LOST_WHILE_SWITCHING: FailReason
FAIL_REASON_NEVER_GRANTED: FailReason
FAIL_REASON_TOO_MANY_INSTANCES: FailReason
FAIL_REASON_CALL_ENDED: FailReason
FAIL_REASON_NO_ANSWER: FailReason

class Opening(_message.Message):
    __slots__ = ("greet", "wait", "say")
    CONTINUE_FIELD_NUMBER: _ClassVar[int]
    GREET_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    SAY_FIELD_NUMBER: _ClassVar[int]
    greet: Nothing
    wait: Nothing
    say: str
    def __init__(self, greet: _Optional[_Union[Nothing, _Mapping]] = ..., wait: _Optional[_Union[Nothing, _Mapping]] = ..., say: _Optional[str] = ..., **kwargs) -> None: ...

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("handoff_id", "reason", "opening", "packet", "caller", "delegation_input", "traceparent")
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_INPUT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    reason: str
    opening: Opening
    packet: _context_pb2.Packet
    caller: str
    delegation_input: bytes
    traceparent: str
    def __init__(self, handoff_id: _Optional[int] = ..., reason: _Optional[str] = ..., opening: _Optional[_Union[Opening, _Mapping]] = ..., packet: _Optional[_Union[_context_pb2.Packet, _Mapping]] = ..., caller: _Optional[str] = ..., delegation_input: _Optional[bytes] = ..., traceparent: _Optional[str] = ..., **kwargs) -> None: ...

class CancelPrepare(_message.Message):
    __slots__ = ("handoff_id",)
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    def __init__(self, handoff_id: _Optional[int] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("handoff_id", "context_items", "context_hash")
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_HASH_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    context_items: int
    context_hash: bytes
    def __init__(self, handoff_id: _Optional[int] = ..., context_items: _Optional[int] = ..., context_hash: _Optional[bytes] = ...) -> None: ...

class Refuse(_message.Message):
    __slots__ = ("handoff_id", "reason")
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    reason: str
    def __init__(self, handoff_id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("epoch", "opening", "handoff_id", "context_items", "context_hash", "state_version")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_HASH_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    opening: Opening
    handoff_id: int
    context_items: int
    context_hash: bytes
    state_version: int
    def __init__(self, epoch: _Optional[int] = ..., opening: _Optional[_Union[Opening, _Mapping]] = ..., handoff_id: _Optional[int] = ..., context_items: _Optional[int] = ..., context_hash: _Optional[bytes] = ..., state_version: _Optional[int] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("epoch", "preroll_ms")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREROLL_MS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    preroll_ms: int
    def __init__(self, epoch: _Optional[int] = ..., preroll_ms: _Optional[int] = ...) -> None: ...

class Supersede(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("epoch", "mode", "deadline_ms")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    mode: RevokeMode
    deadline_ms: int
    def __init__(self, epoch: _Optional[int] = ..., mode: _Optional[_Union[RevokeMode, str]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class Speech(_message.Message):
    __slots__ = ("speaking",)
    SPEAKING_FIELD_NUMBER: _ClassVar[int]
    speaking: bool
    def __init__(self, speaking: bool = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Dtmf(_message.Message):
    __slots__ = ("number", "digit")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    number: int
    digit: str
    def __init__(self, number: _Optional[int] = ..., digit: _Optional[str] = ...) -> None: ...

class HandoffRequest(_message.Message):
    __slots__ = ("request_id", "specialist", "previous", "reason", "tool_call_id", "delegation_input", "delegation_result")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SPECIALIST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_INPUT_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_RESULT_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    specialist: str
    previous: Nothing
    reason: str
    tool_call_id: str
    delegation_input: bytes
    delegation_result: bytes
    def __init__(self, request_id: _Optional[int] = ..., specialist: _Optional[str] = ..., previous: _Optional[_Union[Nothing, _Mapping]] = ..., reason: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., delegation_input: _Optional[bytes] = ..., delegation_result: _Optional[bytes] = ...) -> None: ...

class HandoffResult(_message.Message):
    __slots__ = ("request_id", "accepted", "refused", "failed", "done")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    accepted: HandoffAccepted
    refused: HandoffRefused
    failed: HandoffFailed
    done: HandoffDone
    def __init__(self, request_id: _Optional[int] = ..., accepted: _Optional[_Union[HandoffAccepted, _Mapping]] = ..., refused: _Optional[_Union[HandoffRefused, _Mapping]] = ..., failed: _Optional[_Union[HandoffFailed, _Mapping]] = ..., done: _Optional[_Union[HandoffDone, _Mapping]] = ...) -> None: ...

class DelegationResult(_message.Message):
    __slots__ = ("request_id", "result", "failed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    result: bytes
    failed: str
    def __init__(self, request_id: _Optional[int] = ..., result: _Optional[bytes] = ..., failed: _Optional[str] = ...) -> None: ...

class HandoffAccepted(_message.Message):
    __slots__ = ("handoff_id",)
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    def __init__(self, handoff_id: _Optional[int] = ...) -> None: ...

class HandoffRefused(_message.Message):
    __slots__ = ("reason", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: RefuseReason
    detail: str
    def __init__(self, reason: _Optional[_Union[RefuseReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class HandoffFailed(_message.Message):
    __slots__ = ("handoff_id", "reason", "detail")
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    reason: FailReason
    detail: str
    def __init__(self, handoff_id: _Optional[int] = ..., reason: _Optional[_Union[FailReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class HandoffDone(_message.Message):
    __slots__ = ("handoff_id", "holder", "epoch")
    HANDOFF_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    handoff_id: int
    holder: str
    epoch: int
    def __init__(self, handoff_id: _Optional[int] = ..., holder: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...
