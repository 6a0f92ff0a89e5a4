"""The fields of an encoded protobuf message, without knowing the message. Internal."""

from collections.abc import Iterator

_APPEND_FIELD = 40
"""`Envelope.context_append`."""
_ITEMS_FIELD = 1
"""`ContextAppend.items` in it."""
_OTHER_FIELDS_MAX = 64
"""How many fields that are no items an envelope with a context append may have: far more than any version will."""


class _GroupError(Exception):
    """A group, which no version of this protocol has: what follows it is not counted, so it is not accepted."""


def has_more_items(envelope: bytes, limit: int) -> bool:
    """Whether an envelope has more context items than that, or hides how many it has. Found before any memory is spent
    on them, and in a time that the limit bounds."""
    if len(envelope) // 2 <= limit:
        return False
    items = others = 0
    try:
        for number, content in _fields(memoryview(envelope)):
            others += 1
            for inner, _ in _fields(content) if number == _APPEND_FIELD and content is not None else ():
                items += inner == _ITEMS_FIELD
                others += inner != _ITEMS_FIELD
                if items > limit or others > _OTHER_FIELDS_MAX:
                    return True
            if others > _OTHER_FIELDS_MAX:
                return True
    except _GroupError:
        return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Numbers and, of those that have a length, contents; up to the first field that cannot be read."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        content = None
        match key & 7:
            case 0:
                _, at = _read_varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _read_varint(message, at)
                content = message[at : at + length]
                at += length
            case 5:
                at += 4
            case 3 | 4:
                raise _GroupError
            case _:
                return
        if at > len(message):
            return
        yield key >> 3, content


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends; beyond the message if it does not."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    return value, len(message) + 1
