"""The process of a bot is killed while it speaks."""

import asyncio

from scenes import the_fallback_goes_on
from test_handoff import bot


def test_the_fallback_goes_on_with_all_that_was_acked() -> None:
    asyncio.run(the_fallback_goes_on("payments", bot))
