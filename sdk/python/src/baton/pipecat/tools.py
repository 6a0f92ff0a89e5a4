"""A function of Baton's among those that a pipeline's model may call.

A context's tools are set anew while a call lasts: by `pipecat.flows` at each node, and by a worker that takes over from another
one. Whoever sets them, the functions given here stay beside them.
"""

from collections.abc import Mapping
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext


def keep(context: LLMContext, functions: Mapping[str, FunctionSchema | None]) -> None:
    """Offers these functions by their names from now on, beside the context's own tools, which may change. Each carries its
    handler, so that whichever service gets the context runs it. What changes in `functions`, where `None` is for one that is not
    offered now, holds when the tools are set next."""
    set_tools = context.set_tools

    def set_both(tools: Any = None) -> None:
        set_tools(_both(tools, functions) if functions else tools)

    context.set_tools = set_both  # type: ignore[method-assign]
    context.set_tools(context.tools)


def _both(tools: Any, functions: Mapping[str, FunctionSchema | None]) -> ToolsSchema:
    """Tools, as a context takes them, with these functions."""
    ours = [function for function in functions.values() if function is not None]
    if isinstance(tools, list):
        tools = ToolsSchema(standard_tools=tools)
    if not isinstance(tools, ToolsSchema):
        return ToolsSchema(standard_tools=[*ours])
    # A function that was given as itself has its handler there alone.
    direct = {wrapper.name: wrapper.function for wrapper in tools.direct_functions}
    theirs = [direct.get(tool.name, tool) for tool in tools.standard_tools if tool.name not in functions]
    return ToolsSchema(standard_tools=[*theirs, *ours], custom_tools=tools.custom_tools)
