"""The kit passes a bot of Pipecat."""

import asyncio
import sys

from scenes import the_kit_passes
from test_handoff import HERE, SOURCE


def test_a_bot_does_its_duties() -> None:
    asyncio.run(the_kit_passes("payments", [sys.executable, str(HERE / "payments.py")], str(SOURCE)))
