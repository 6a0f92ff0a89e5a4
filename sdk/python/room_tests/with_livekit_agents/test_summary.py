"""The model of an agent sums the conversation up for the one who takes over, where the route is to give no more."""

import asyncio

from scenes import the_next_one_gets_a_summary
from test_handoff import worker


def test_the_next_one_gets_a_summary_that_the_model_has_made() -> None:
    asyncio.run(the_next_one_gets_a_summary("triage", worker))
