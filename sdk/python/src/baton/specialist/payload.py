"""What an agent shares, as JSON."""

import json
import logging
from typing import Any

from baton.specialist.agent import UnserialisableError

logger = logging.getLogger("baton")


def encoded(what: str, value: Any) -> bytes:
    """As it travels. Raises `UnserialisableError`, which calls it `what`."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UnserialisableError(what, str(error)) from None


def decoded(text: bytes | None) -> Any:
    """What Baton has sent; `None` if that is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        logger.error("what Baton sent is no json")
        return None
