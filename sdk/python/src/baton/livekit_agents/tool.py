"""The function tool that hands the baton off."""

from collections.abc import Mapping
from typing import Any

from livekit.agents import RunContext, llm

from baton.specialist import Call, HandoffError
from baton.targets import NAME, description, parameters


def handoff_tool(call: Call, targets: Mapping[str, str], previous: bool = False) -> llm.Tool:
    """A tool that the model calls to hand the caller over. Its result is why it was refused; or that it is under way, and
    then nothing more is said."""

    async def handoff(raw_arguments: dict[str, object], context: RunContext[Any]) -> Any:
        to = str(raw_arguments.get("to", ""))
        reason = str(raw_arguments.get("reason", ""))
        try:
            request = call.request(
                None if previous and to == "previous" else to, reason, tool_call=context.function_call.call_id
            )
            await request.under_way()
        except HandoffError as error:
            raise llm.ToolError(str(error)) from error
        return llm.ToolResult(f"{to} takes over", reply_required=False)

    return llm.function_tool(
        handoff,
        raw_schema={
            "name": NAME,
            "description": description(targets, previous),
            "parameters": parameters(targets, previous),
        },
    )
