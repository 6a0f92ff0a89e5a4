"""A bot of Pipecat that has another one do something, and that does something for another one."""

import asyncio

from delegating import ends_its_task_with_a_result, goes_on_with_the_result
from test_handoff import bot


def test_a_model_delegates_and_goes_on_with_the_result() -> None:
    asyncio.run(goes_on_with_the_result("payments", bot))


def test_a_model_is_delegated_to_and_ends_its_task_with_a_result() -> None:
    asyncio.run(ends_its_task_with_a_result("payments", bot))
