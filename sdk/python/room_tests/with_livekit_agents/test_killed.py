"""The process of an agent is killed while it speaks."""

import asyncio

from scenes import the_fallback_goes_on
from test_handoff import worker


def test_the_fallback_goes_on_with_all_that_was_acked() -> None:
    asyncio.run(the_fallback_goes_on("triage", worker))
