from baton.v1 import context_pb2 as _context_pb2
from baton.v1 import control_pb2 as _control_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_IDLE: _ClassVar[Phase]
    PHASE_PREPARING: _ClassVar[Phase]
    PHASE_READY: _ClassVar[Phase]
    PHASE_SWITCHING: _ClassVar[Phase]
    PHASE_ACTIVE: _ClassVar[Phase]

class RejectReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_REASON_UNSPECIFIED: _ClassVar[RejectReason]
    REJECT_REASON_MALFORMED: _ClassVar[RejectReason]
    REJECT_REASON_TOO_LARGE: _ClassVar[RejectReason]
    REJECT_REASON_UNSUPPORTED_VERSION: _ClassVar[RejectReason]
    REJECT_REASON_WRONG_CALL: _ClassVar[RejectReason]
    REJECT_REASON_WRONG_STREAM: _ClassVar[RejectReason]
    REJECT_REASON_OUT_OF_WINDOW: _ClassVar[RejectReason]
    REJECT_REASON_UNKNOWN_BODY: _ClassVar[RejectReason]
    REJECT_REASON_WRONG_DIRECTION: _ClassVar[RejectReason]
    REJECT_REASON_STALE_EPOCH: _ClassVar[RejectReason]
    REJECT_REASON_STALE_HANDOFF: _ClassVar[RejectReason]
    REJECT_REASON_NOT_HOLDER: _ClassVar[RejectReason]
    REJECT_REASON_UNBOUND: _ClassVar[RejectReason]
    REJECT_REASON_IDENTITY_TAKEN: _ClassVar[RejectReason]
    REJECT_REASON_DUPLICATE: _ClassVar[RejectReason]
    REJECT_REASON_UNEXPECTED: _ClassVar[RejectReason]
    REJECT_REASON_CALL_OVER: _ClassVar[RejectReason]
    REJECT_REASON_CONTEXT_NOT_APPLIED: _ClassVar[RejectReason]
PHASE_UNSPECIFIED: Phase
PHASE_IDLE: Phase
PHASE_PREPARING: Phase
PHASE_READY: Phase
PHASE_SWITCHING: Phase
PHASE_ACTIVE: Phase
REJECT_REASON_UNSPECIFIED: RejectReason
REJECT_REASON_MALFORMED: RejectReason
REJECT_REASON_TOO_LARGE: RejectReason
REJECT_REASON_UNSUPPORTED_VERSION: RejectReason
REJECT_REASON_WRONG_CALL: RejectReason
REJECT_REASON_WRONG_STREAM: RejectReason
REJECT_REASON_OUT_OF_WINDOW: RejectReason
REJECT_REASON_UNKNOWN_BODY: RejectReason
REJECT_REASON_WRONG_DIRECTION: RejectReason
REJECT_REASON_STALE_EPOCH: RejectReason
REJECT_REASON_STALE_HANDOFF: RejectReason
REJECT_REASON_NOT_HOLDER: RejectReason
REJECT_REASON_UNBOUND: RejectReason
REJECT_REASON_IDENTITY_TAKEN: RejectReason
REJECT_REASON_DUPLICATE: RejectReason
REJECT_REASON_UNEXPECTED: RejectReason
REJECT_REASON_CALL_OVER: RejectReason
REJECT_REASON_CONTEXT_NOT_APPLIED: RejectReason

class Version(_message.Message):
    __slots__ = ("major", "minor")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("stream", "seq")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    stream: int
    seq: int
    def __init__(self, stream: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("version", "call_id", "epoch", "stream", "seq", "ack", "hello", "welcome", "heartbeat", "reject", "prepare", "cancel_prepare", "ready", "refuse", "grant", "granted", "revoke", "released", "leave", "handoff_request", "handoff_result", "context_append", "context_chunk", "state_patch", "state_result", "context_applied", "context_result", "summary_request", "summary_result", "delegation_result", "speech", "dtmf", "supersede")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_PREPARE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    HANDOFF_REQUEST_FIELD_NUMBER: _ClassVar[int]
    HANDOFF_RESULT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_APPEND_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_CHUNK_FIELD_NUMBER: _ClassVar[int]
    STATE_PATCH_FIELD_NUMBER: _ClassVar[int]
    STATE_RESULT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_APPLIED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_RESULT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_RESULT_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_RESULT_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    DTMF_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    version: Version
    call_id: str
    epoch: int
    stream: int
    seq: int
    ack: Position
    hello: Hello
    welcome: Welcome
    heartbeat: Heartbeat
    reject: Reject
    prepare: _control_pb2.Prepare
    cancel_prepare: _control_pb2.CancelPrepare
    ready: _control_pb2.Ready
    refuse: _control_pb2.Refuse
    grant: _control_pb2.Grant
    granted: _control_pb2.Granted
    revoke: _control_pb2.Revoke
    released: _control_pb2.Released
    leave: _control_pb2.Leave
    handoff_request: _control_pb2.HandoffRequest
    handoff_result: _control_pb2.HandoffResult
    context_append: _context_pb2.ContextAppend
    context_chunk: _context_pb2.ContextChunk
    state_patch: _context_pb2.StatePatch
    state_result: _context_pb2.StateResult
    context_applied: _context_pb2.ContextApplied
    context_result: _context_pb2.ContextResult
    summary_request: _context_pb2.SummaryRequest
    summary_result: _context_pb2.SummaryResult
    delegation_result: _control_pb2.DelegationResult
    speech: _control_pb2.Speech
    dtmf: _control_pb2.Dtmf
    supersede: _control_pb2.Supersede
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., call_id: _Optional[str] = ..., epoch: _Optional[int] = ..., stream: _Optional[int] = ..., seq: _Optional[int] = ..., ack: _Optional[_Union[Position, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ..., prepare: _Optional[_Union[_control_pb2.Prepare, _Mapping]] = ..., cancel_prepare: _Optional[_Union[_control_pb2.CancelPrepare, _Mapping]] = ..., ready: _Optional[_Union[_control_pb2.Ready, _Mapping]] = ..., refuse: _Optional[_Union[_control_pb2.Refuse, _Mapping]] = ..., grant: _Optional[_Union[_control_pb2.Grant, _Mapping]] = ..., granted: _Optional[_Union[_control_pb2.Granted, _Mapping]] = ..., revoke: _Optional[_Union[_control_pb2.Revoke, _Mapping]] = ..., released: _Optional[_Union[_control_pb2.Released, _Mapping]] = ..., leave: _Optional[_Union[_control_pb2.Leave, _Mapping]] = ..., handoff_request: _Optional[_Union[_control_pb2.HandoffRequest, _Mapping]] = ..., handoff_result: _Optional[_Union[_control_pb2.HandoffResult, _Mapping]] = ..., context_append: _Optional[_Union[_context_pb2.ContextAppend, _Mapping]] = ..., context_chunk: _Optional[_Union[_context_pb2.ContextChunk, _Mapping]] = ..., state_patch: _Optional[_Union[_context_pb2.StatePatch, _Mapping]] = ..., state_result: _Optional[_Union[_context_pb2.StateResult, _Mapping]] = ..., context_applied: _Optional[_Union[_context_pb2.ContextApplied, _Mapping]] = ..., context_result: _Optional[_Union[_context_pb2.ContextResult, _Mapping]] = ..., summary_request: _Optional[_Union[_context_pb2.SummaryRequest, _Mapping]] = ..., summary_result: _Optional[_Union[_context_pb2.SummaryResult, _Mapping]] = ..., delegation_result: _Optional[_Union[_control_pb2.DelegationResult, _Mapping]] = ..., speech: _Optional[_Union[_control_pb2.Speech, _Mapping]] = ..., dtmf: _Optional[_Union[_control_pb2.Dtmf, _Mapping]] = ..., supersede: _Optional[_Union[_control_pb2.Supersede, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("attempt", "ticket", "specialist", "sdk_name", "sdk_version", "versions", "track_sid", "seen", "oldest_seq", "open_track_sid")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    SPECIALIST_FIELD_NUMBER: _ClassVar[int]
    SDK_NAME_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TRACK_SID_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQ_FIELD_NUMBER: _ClassVar[int]
    OPEN_TRACK_SID_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    ticket: str
    specialist: str
    sdk_name: str
    sdk_version: str
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    track_sid: str
    seen: Position
    oldest_seq: int
    open_track_sid: str
    def __init__(self, attempt: _Optional[int] = ..., ticket: _Optional[str] = ..., specialist: _Optional[str] = ..., sdk_name: _Optional[str] = ..., sdk_version: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., track_sid: _Optional[str] = ..., seen: _Optional[_Union[Position, _Mapping]] = ..., oldest_seq: _Optional[int] = ..., open_track_sid: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("attempt", "version", "seen", "oldest_seq", "preroll_ms", "orchestrator_timeout_ms", "body_bytes_max", "targets", "previous")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQ_FIELD_NUMBER: _ClassVar[int]
    PREROLL_MS_FIELD_NUMBER: _ClassVar[int]
    ORCHESTRATOR_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    version: Version
    seen: Position
    oldest_seq: int
    preroll_ms: int
    orchestrator_timeout_ms: int
    body_bytes_max: int
    targets: _containers.RepeatedCompositeFieldContainer[RouteTarget]
    previous: bool
    def __init__(self, attempt: _Optional[int] = ..., version: _Optional[_Union[Version, _Mapping]] = ..., seen: _Optional[_Union[Position, _Mapping]] = ..., oldest_seq: _Optional[int] = ..., preroll_ms: _Optional[int] = ..., orchestrator_timeout_ms: _Optional[int] = ..., body_bytes_max: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[RouteTarget, _Mapping]]] = ..., previous: bool = ...) -> None: ...

class RouteTarget(_message.Message):
    __slots__ = ("name", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("holder", "epoch", "phase")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    holder: str
    epoch: int
    phase: Phase
    def __init__(self, holder: _Optional[str] = ..., epoch: _Optional[int] = ..., phase: _Optional[_Union[Phase, str]] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("reason", "detail", "seq")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    reason: RejectReason
    detail: str
    seq: int
    def __init__(self, reason: _Optional[_Union[RejectReason, str]] = ..., detail: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...
