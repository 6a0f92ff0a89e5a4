"""What a specialist knows of the conversation and the shared state. Pure.

Baton sends the conversation as a feed of its own: entry N with hash H says all about what was applied. What the specialist
itself has said is not sent back to it, so it is taken in where it is written.
"""

import copy
import hashlib
import json
from typing import Any

from baton.bodies import ContextItem
from baton.errors import BatonError

ITEMS_BYTES_MAX = 64 * 1024 * 1024
"""All items together, in bytes."""
STATE_BYTES_MAX = 16 * 1024 * 1024
"""The shared state, in bytes as it is encoded."""

_EMPTY_HASH = bytes(32)


class MemoryMismatchError(BatonError):
    """Baton sent what cannot be applied."""


class Memory:
    """The conversation and the shared state, as far as they have come."""

    def __init__(self) -> None:
        self._items: dict[str, ContextItem] = {}
        self._own: set[str] = set()
        self._position = 0
        self._hash = _EMPTY_HASH
        self._bytes = 0
        self._state: dict[str, Any] = {}
        self._state_version = 0

    @property
    def items(self) -> tuple[ContextItem, ...]:
        """Every item once, as it is now, in the order in which they first came."""
        return tuple(self._items.values())

    @property
    def position(self) -> int:
        """How many entries of Baton's feed were applied."""
        return self._position

    @property
    def hash(self) -> bytes:
        """The hash over them."""
        return self._hash

    @property
    def state(self) -> dict[str, Any]:
        """The shared state, as far as this specialist may see it: a copy."""
        return copy.deepcopy(self._state)

    @property
    def state_version(self) -> int:
        """The newest version of it that is known here."""
        return self._state_version

    def take(self, items: tuple[ContextItem, ...]) -> tuple[ContextItem, ...]:
        """Applies entries of Baton's feed, and gives those that are new here. Raises `MemoryMismatchError`."""
        taken = []
        for item in items:
            position = item.position or self._position + 1
            if position == 1 and self._position > 0:
                self._start_anew()
            if position != self._position + 1:
                raise MemoryMismatchError(f"entry {position} came after entry {self._position}: one between them is missing")
            self._position = position
            self._hash = hashlib.sha256(self._hash + digest(item)).digest()
            self._put(item)
            taken.append(item)
        return tuple(taken)

    def wrote(self, item: ContextItem) -> None:
        """Takes in an item of this specialist's own. Raises `MemoryMismatchError` if it is too much."""
        self._put(item)
        self._own.add(item.id)

    def has(self, id: str) -> bool:
        """Whether an item is known."""
        return id in self._items

    def merge(self, merge_patch: bytes, version: int) -> dict[str, Any]:
        """Applies a change of the state, and gives the patch. Raises `MemoryMismatchError` if it is none."""
        if len(merge_patch) > STATE_BYTES_MAX:
            raise MemoryMismatchError(f"a state of {len(merge_patch)} bytes is over the limit of {STATE_BYTES_MAX}")
        try:
            patch = json.loads(merge_patch)
        except (ValueError, RecursionError) as error:
            raise MemoryMismatchError(f"a change of the state is no json: {error}") from None
        if not isinstance(patch, dict):
            raise MemoryMismatchError("a change of the state is no json object")
        self._state = merged(self._state, patch)
        self._state_version = max(self._state_version, version)
        return patch

    def replace_state(self, document: bytes, version: int) -> None:
        """Takes the state as Baton has it. Raises `MemoryMismatchError` if it is none."""
        self._state = {}
        self._state_version = 0
        self.merge(document, version)

    def _start_anew(self) -> None:
        self._items = {id: item for id, item in self._items.items() if id in self._own}
        self._bytes = sum(map(_size, self._items.values()))
        self._position = 0
        self._hash = _EMPTY_HASH

    def _put(self, item: ContextItem) -> None:
        known = self._items.get(item.id)
        size = self._bytes + _size(item) - (_size(known) if known is not None else 0)
        if size > ITEMS_BYTES_MAX:
            raise MemoryMismatchError(f"the conversation has {size} bytes, the limit is {ITEMS_BYTES_MAX}")
        self._bytes = size
        self._items[item.id] = item


def digest(item: ContextItem) -> bytes:
    """What the hash of a log is made of: SHA-256 over the parts of the item, each after its length in 8 bytes."""
    sha = hashlib.sha256()
    for part in (item.id.encode(), item.chat_item, item.framework.encode(), item.framework_json):
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return sha.digest()


def merged(document: Any, patch: Any) -> Any:
    """A JSON merge patch, applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that makes one document of another. What is null in `after` is left out of both."""
    patch: dict[str, Any] = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new and type(old) is type(new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner = difference(old, new)
            if inner:
                patch[name] = inner
        else:
            patch[name] = new
    return patch


def _size(item: ContextItem) -> int:
    return len(item.id) + len(item.chat_item) + len(item.framework_json) + 256
