from baton.v1 import context_pb2 as _context_pb2
from baton.v1 import control_pb2 as _control_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HandoffPacket(_message.Message):
    __slots__ = ("version", "call_id", "livekit", "foreign", "state", "route", "opening", "turn", "telephony", "more")
    class Items(_message.Message):
        __slots__ = ("items",)
        ITEMS_FIELD_NUMBER: _ClassVar[int]
        items: _containers.RepeatedCompositeFieldContainer[_context_pb2.ContextItem]
        def __init__(self, items: _Optional[_Iterable[_Union[_context_pb2.ContextItem, _Mapping]]] = ...) -> None: ...
    class Messages(_message.Message):
        __slots__ = ("format", "messages", "sidecar")
        FORMAT_FIELD_NUMBER: _ClassVar[int]
        MESSAGES_FIELD_NUMBER: _ClassVar[int]
        SIDECAR_FIELD_NUMBER: _ClassVar[int]
        format: str
        messages: _containers.RepeatedScalarFieldContainer[bytes]
        sidecar: bytes
        def __init__(self, format: _Optional[str] = ..., messages: _Optional[_Iterable[bytes]] = ..., sidecar: _Optional[bytes] = ...) -> None: ...
    class State(_message.Message):
        __slots__ = ("version", "document", "more")
        VERSION_FIELD_NUMBER: _ClassVar[int]
        DOCUMENT_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        version: int
        document: bytes
        more: bytes
        def __init__(self, version: _Optional[int] = ..., document: _Optional[bytes] = ..., more: _Optional[bytes] = ...) -> None: ...
    class Route(_message.Message):
        __slots__ = ("to", "reason", "more")
        FROM_FIELD_NUMBER: _ClassVar[int]
        TO_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        to: str
        reason: str
        more: bytes
        def __init__(self, to: _Optional[str] = ..., reason: _Optional[str] = ..., more: _Optional[bytes] = ..., **kwargs) -> None: ...
    class Turn(_message.Message):
        __slots__ = ("epoch", "caller_speaking", "partial_transcript", "language", "adopted_calls", "more")
        EPOCH_FIELD_NUMBER: _ClassVar[int]
        CALLER_SPEAKING_FIELD_NUMBER: _ClassVar[int]
        PARTIAL_TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
        LANGUAGE_FIELD_NUMBER: _ClassVar[int]
        ADOPTED_CALLS_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        epoch: int
        caller_speaking: bool
        partial_transcript: str
        language: str
        adopted_calls: _containers.RepeatedScalarFieldContainer[str]
        more: bytes
        def __init__(self, epoch: _Optional[int] = ..., caller_speaking: bool = ..., partial_transcript: _Optional[str] = ..., language: _Optional[str] = ..., adopted_calls: _Optional[_Iterable[str]] = ..., more: _Optional[bytes] = ...) -> None: ...
    class Telephony(_message.Message):
        __slots__ = ("caller_number", "called_number", "identity", "attributes", "dtmf", "more")
        class AttributesEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        CALLER_NUMBER_FIELD_NUMBER: _ClassVar[int]
        CALLED_NUMBER_FIELD_NUMBER: _ClassVar[int]
        IDENTITY_FIELD_NUMBER: _ClassVar[int]
        ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
        DTMF_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        caller_number: str
        called_number: str
        identity: str
        attributes: _containers.ScalarMap[str, str]
        dtmf: str
        more: bytes
        def __init__(self, caller_number: _Optional[str] = ..., called_number: _Optional[str] = ..., identity: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., dtmf: _Optional[str] = ..., more: _Optional[bytes] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    LIVEKIT_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    TELEPHONY_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    version: int
    call_id: str
    livekit: HandoffPacket.Items
    foreign: HandoffPacket.Messages
    state: HandoffPacket.State
    route: HandoffPacket.Route
    opening: _control_pb2.Opening
    turn: HandoffPacket.Turn
    telephony: HandoffPacket.Telephony
    more: bytes
    def __init__(self, version: _Optional[int] = ..., call_id: _Optional[str] = ..., livekit: _Optional[_Union[HandoffPacket.Items, _Mapping]] = ..., foreign: _Optional[_Union[HandoffPacket.Messages, _Mapping]] = ..., state: _Optional[_Union[HandoffPacket.State, _Mapping]] = ..., route: _Optional[_Union[HandoffPacket.Route, _Mapping]] = ..., opening: _Optional[_Union[_control_pb2.Opening, _Mapping]] = ..., turn: _Optional[_Union[HandoffPacket.Turn, _Mapping]] = ..., telephony: _Optional[_Union[HandoffPacket.Telephony, _Mapping]] = ..., more: _Optional[bytes] = ...) -> None: ...
