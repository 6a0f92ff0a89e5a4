"""The kit passes an agent of LiveKit Agents."""

import asyncio
import sys

from scenes import the_kit_passes
from test_handoff import HERE, SOURCE


def test_an_agent_does_its_duties() -> None:
    asyncio.run(the_kit_passes("triage", [sys.executable, str(HERE / "triage.py"), "start"], str(SOURCE)))
