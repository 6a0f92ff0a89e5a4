from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContextRefuseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTEXT_REFUSE_REASON_UNSPECIFIED: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_NOT_HOLDER: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_STALE_EPOCH: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_MALFORMED: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_TOO_LARGE: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_FULL: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_CHANGES_KIND: _ClassVar[ContextRefuseReason]
    CONTEXT_REFUSE_REASON_NOT_OWN: _ClassVar[ContextRefuseReason]
CONTEXT_REFUSE_REASON_UNSPECIFIED: ContextRefuseReason
CONTEXT_REFUSE_REASON_NOT_HOLDER: ContextRefuseReason
CONTEXT_REFUSE_REASON_STALE_EPOCH: ContextRefuseReason
CONTEXT_REFUSE_REASON_MALFORMED: ContextRefuseReason
CONTEXT_REFUSE_REASON_TOO_LARGE: ContextRefuseReason
CONTEXT_REFUSE_REASON_FULL: ContextRefuseReason
CONTEXT_REFUSE_REASON_CHANGES_KIND: ContextRefuseReason
CONTEXT_REFUSE_REASON_NOT_OWN: ContextRefuseReason

class Packet(_message.Message):
    __slots__ = ("context_items", "context_hash", "state_version")
    CONTEXT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_HASH_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    context_items: int
    context_hash: bytes
    state_version: int
    def __init__(self, context_items: _Optional[int] = ..., context_hash: _Optional[bytes] = ..., state_version: _Optional[int] = ...) -> None: ...

class ContextItem(_message.Message):
    __slots__ = ("id", "position", "chat_item", "framework", "framework_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CHAT_ITEM_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    position: int
    chat_item: bytes
    framework: str
    framework_json: bytes
    def __init__(self, id: _Optional[str] = ..., position: _Optional[int] = ..., chat_item: _Optional[bytes] = ..., framework: _Optional[str] = ..., framework_json: _Optional[bytes] = ...) -> None: ...

class ContextAppend(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ContextItem]
    def __init__(self, items: _Optional[_Iterable[_Union[ContextItem, _Mapping]]] = ...) -> None: ...

class ContextApplied(_message.Message):
    __slots__ = ("context_items", "context_hash")
    CONTEXT_ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_HASH_FIELD_NUMBER: _ClassVar[int]
    context_items: int
    context_hash: bytes
    def __init__(self, context_items: _Optional[int] = ..., context_hash: _Optional[bytes] = ...) -> None: ...

class ContextResult(_message.Message):
    __slots__ = ("kept", "refused")
    KEPT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    kept: _containers.RepeatedScalarFieldContainer[str]
    refused: _containers.RepeatedCompositeFieldContainer[ContextRefusal]
    def __init__(self, kept: _Optional[_Iterable[str]] = ..., refused: _Optional[_Iterable[_Union[ContextRefusal, _Mapping]]] = ...) -> None: ...

class ContextRefusal(_message.Message):
    __slots__ = ("id", "reason", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: ContextRefuseReason
    detail: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[_Union[ContextRefuseReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class SummaryRequest(_message.Message):
    __slots__ = ("request_id", "deadline_ms")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    deadline_ms: int
    def __init__(self, request_id: _Optional[int] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class SummaryResult(_message.Message):
    __slots__ = ("request_id", "text", "refused")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    text: str
    refused: str
    def __init__(self, request_id: _Optional[int] = ..., text: _Optional[str] = ..., refused: _Optional[str] = ...) -> None: ...

class ContextChunk(_message.Message):
    __slots__ = ("transfer_id", "offset", "total_bytes", "sha256", "data")
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    transfer_id: int
    offset: int
    total_bytes: int
    sha256: bytes
    data: bytes
    def __init__(self, transfer_id: _Optional[int] = ..., offset: _Optional[int] = ..., total_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ..., data: _Optional[bytes] = ...) -> None: ...

class StatePatch(_message.Message):
    __slots__ = ("patch_id", "base_version", "merge_patch", "version")
    PATCH_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MERGE_PATCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    patch_id: int
    base_version: int
    merge_patch: bytes
    version: int
    def __init__(self, patch_id: _Optional[int] = ..., base_version: _Optional[int] = ..., merge_patch: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class StateResult(_message.Message):
    __slots__ = ("patch_id", "accepted", "conflict", "denied")
    PATCH_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    patch_id: int
    accepted: StateAccepted
    conflict: StateConflict
    denied: StateDenied
    def __init__(self, patch_id: _Optional[int] = ..., accepted: _Optional[_Union[StateAccepted, _Mapping]] = ..., conflict: _Optional[_Union[StateConflict, _Mapping]] = ..., denied: _Optional[_Union[StateDenied, _Mapping]] = ...) -> None: ...

class StateAccepted(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class StateConflict(_message.Message):
    __slots__ = ("version", "current")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    current: bytes
    def __init__(self, version: _Optional[int] = ..., current: _Optional[bytes] = ...) -> None: ...

class StateDenied(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
