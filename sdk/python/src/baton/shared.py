"""An object of the agent's own that mirrors the shared state: a dataclass, or a model of pydantic.

Each public field is a field of the state. What is marked `Local` never travels: clients, closures, audio handles.

    @dataclass
    class Caller:
        name: str = ""
        verified: bool = False
        bank: Annotated[BankClient | None, Local] = None
"""

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from baton.errors import BatonError
from baton.memory import difference
from baton.specialist.agent import UnserialisableError


class Local:
    """Marks a field that never travels: `Annotated[BankClient | None, Local]`."""


class NotMirrorableError(BatonError):
    """The object cannot mirror the state."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"a {type(value).__name__} cannot mirror the shared state: give a dataclass or a pydantic model, "
            "or use `call.memory.state` and `call.patch`"
        )


class StateFieldError(BatonError):
    """The state has what a field cannot hold."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(
            f"the shared state has in {field!r} what this specialist's field cannot hold: {detail}; "
            "agree on its type with those who write it, or mark the field as local"
        )
        self.field = field
        """The field."""


class Mirror:
    """Carries changes between an object and the shared state."""

    def __init__(self, value: Any) -> None:
        """Raises `NotMirrorableError`."""
        from pydantic import BaseModel, TypeAdapter

        if isinstance(value, BaseModel):
            names = [name for name, field in type(value).model_fields.items() if not field.exclude]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
        else:
            raise NotMirrorableError(value)
        hints = get_type_hints(type(value), include_extras=True)
        self.value = value
        """The object."""
        self._adapters = {
            name: TypeAdapter(hints[name])
            for name in names
            if not name.startswith("_") and not _is_local(hints[name])
        }
        self._known: dict[str, Any] = {}

    @property
    def fields(self) -> frozenset[str]:
        """The fields that travel."""
        return frozenset(self._adapters)

    def snapshot(self) -> dict[str, Any]:
        """The object as JSON. What is `None` is not in it. Raises `UnserialisableError`."""
        result = {}
        for name, adapter in self._adapters.items():
            value = getattr(self.value, name)
            if value is None:
                continue
            try:
                result[name] = adapter.dump_python(value, mode="json", warnings="error")
            except Exception as error:
                raise UnserialisableError(f"{type(self.value).__name__}.{name}", _short(error)) from None
        return result

    def changes(self) -> dict[str, Any]:
        """The merge patch for what the object has and the state, as last known, has not. Raises `UnserialisableError`."""
        return difference(self._known, self.snapshot())

    def shared(self, patch: dict[str, Any]) -> None:
        """Baton has accepted the patch."""
        from baton.memory import merged

        self._known = merged(self._known, patch)

    def apply(self, state: dict[str, Any]) -> None:
        """Takes over the state: its values win over the object's own, which are shared later. A field that the state does
        not have stays as it is, unless the state has had it. Raises `StateFieldError`."""
        for name, adapter in self._adapters.items():
            if name in state:
                try:
                    setattr(self.value, name, adapter.validate_python(state[name]))
                except Exception as error:
                    raise StateFieldError(name, _short(error)) from None
            elif name in self._known:
                setattr(self.value, name, None)
        self._known = {name: state[name] for name in self._adapters if name in state}


def _is_local(hint: Any) -> bool:
    return get_origin(hint) is not None and Local in get_args(hint)[1:]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
