"""The quickstart of docs/specialists-python.md works as it is written."""

import asyncio
import sys

import pytest
from quickstart import PIPECAT, ROOT, carried_out, commands


@pytest.mark.parametrize("command", commands(PIPECAT), ids=" ".join)
def test_the_page_leads_to_a_call(command: list[str]) -> None:
    asyncio.run(carried_out(PIPECAT, sys.executable, command, [ROOT / "sdk/python/src"]))
