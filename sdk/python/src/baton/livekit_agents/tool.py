"""The function tools that hand the baton off, for good or for a task."""

from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import RunContext, llm

from baton.specialist import Call, HandoffError, Request
from baton.targets import (
    COMPLETE,
    DELEGATE,
    NAME,
    complete_description,
    complete_parameters,
    delegate_description,
    delegate_parameters,
    description,
    parameters,
    taken_up,
)


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


def delegate_tool(call: Call, delegates: Mapping[str, str], delegated: Callable[[str, Request], None]) -> llm.Tool:
    """A tool that the model calls to have another specialist do something. `delegated` is told the id of the call and what was
    asked for; the result takes the place of the tool's own when it comes."""

    async def delegate(raw_arguments: dict[str, object], context: RunContext[Any]) -> Any:
        to, task = str(raw_arguments.get("to", "")), str(raw_arguments.get("task", ""))
        call_id = context.function_call.call_id
        try:
            request = call.request(to, task, tool_call=call_id, task=task)
            await request.under_way()
        except HandoffError as error:
            raise llm.ToolError(str(error)) from error
        delegated(call_id, request)
        return llm.ToolResult(taken_up(to), reply_required=False)

    return llm.function_tool(
        delegate,
        raw_schema={
            "name": DELEGATE,
            "description": delegate_description(delegates),
            "parameters": delegate_parameters(delegates),
        },
    )


def complete_tool(call: Call) -> llm.Tool:
    """A tool that the model calls when the task is done that was delegated to it."""

    async def complete_task(raw_arguments: dict[str, object], context: RunContext[Any]) -> Any:
        result = str(raw_arguments.get("result", ""))
        try:
            request = call.request(
                None, "the task is done", tool_call=context.function_call.call_id, result=result
            )
            await request.under_way()
        except HandoffError as error:
            raise llm.ToolError(str(error)) from error
        return llm.ToolResult("the task is done", reply_required=False)

    return llm.function_tool(
        complete_task,
        raw_schema={
            "name": COMPLETE,
            "description": complete_description(),
            "parameters": complete_parameters(),
        },
    )
