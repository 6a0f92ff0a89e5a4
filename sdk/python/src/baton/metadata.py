"""What Baton writes into a dispatch, and a specialist reads from its job."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from baton.errors import BatonError
from baton.ids import CallId, Identity, SpecialistName, Ticket

METADATA_BYTES_MAX = 65_536
"""The largest metadata that is read or written, in bytes."""


class MetadataError(BatonError):
    """A dispatch's metadata cannot be used."""


class MetadataTooLargeError(MetadataError):
    """It is too long."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the dispatch's metadata has {size} bytes, the limit is {METADATA_BYTES_MAX}")
        self.size = size
        """Its size, in bytes."""


class MetadataNotJsonError(MetadataError):
    """It is no JSON."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the dispatch's metadata is no json: {detail}")


class NotFromBatonError(MetadataError):
    """It has no `baton` object: the job was dispatched by somebody else."""

    def __init__(self) -> None:
        super().__init__(
            'the dispatch\'s metadata has no "baton": the job was not dispatched by Baton, so let Baton dispatch this agent'
        )


class IncompleteMetadataError(MetadataError):
    """Its `baton` object lacks something."""

    def __init__(self) -> None:
        super().__init__(
            '"baton" in the dispatch\'s metadata must have call, ticket, orchestrator and specialist, '
            "each a string that is not empty: let Baton dispatch this agent, or write what it writes"
        )


@dataclass(frozen=True, slots=True)
class DispatchBinding:
    """What binds a specialist to its call."""

    call: CallId
    """The call."""
    ticket: Ticket
    """To be shown in the Hello."""
    orchestrator: Identity
    """The identity of Baton in the room: the only one to listen to, and the only one that may subscribe."""
    specialist: SpecialistName
    """The specialist's name in Baton's configuration."""


@dataclass(frozen=True, slots=True)
class DispatchMetadata:
    """The metadata of a dispatch: `{"baton": {...}, "metadata": <the operator's own>}`."""

    baton: DispatchBinding
    """What binds the specialist to its call."""
    metadata: Any = None
    """What the operator wants the specialist to have, as JSON gives it; `None` if nothing."""

    def to_json(self) -> str:
        """The metadata as JSON. Raises `MetadataTooLargeError`, or `MetadataNotJsonError` if it cannot be JSON."""
        raw: dict[str, Any] = {
            "baton": {
                "call": self.baton.call,
                "ticket": self.baton.ticket.value,
                "orchestrator": self.baton.orchestrator,
                "specialist": self.baton.specialist,
            }
        }
        if self.metadata is not None:
            raw["metadata"] = self.metadata
        try:
            text = json.dumps(raw, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise MetadataNotJsonError(str(error)) from error
        _check_length(text)
        return text

    @classmethod
    def parse(cls, text: str) -> "DispatchMetadata":
        """Reads metadata. Fields that are not known are ignored: a newer Baton may write more.

        Raises `MetadataTooLargeError`, `MetadataNotJsonError`, `NotFromBatonError` or `IncompleteMetadataError`.
        """
        if not text:
            # As a job has it that was dispatched without any.
            raise NotFromBatonError
        _check_length(text)
        value = _load(text)
        if not isinstance(value, dict) or "baton" not in value:
            raise NotFromBatonError
        binding = value["baton"]
        if not isinstance(binding, dict):
            raise IncompleteMetadataError
        return cls(
            baton=DispatchBinding(
                call=CallId(_text(binding, "call")),
                ticket=Ticket(_text(binding, "ticket")),
                orchestrator=Identity(_text(binding, "orchestrator")),
                specialist=SpecialistName(_text(binding, "specialist")),
            ),
            metadata=value.get("metadata"),
        )


def _text(binding: dict[str, Any], name: str) -> str:
    value = binding.get(name)
    if not isinstance(value, str) or not value:
        raise IncompleteMetadataError
    return value


def _load(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        detail = f"{error.msg.lower()} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        detail = "it is nested too deeply"
    except ValueError as error:
        detail = str(error)
    # Raised out here: the error of the json module carries the text, and so the ticket.
    raise MetadataNotJsonError(detail)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no json value")


def _check_length(text: str) -> None:
    size = len(text.encode(errors="surrogatepass"))
    if size > METADATA_BYTES_MAX:
        raise MetadataTooLargeError(size)
