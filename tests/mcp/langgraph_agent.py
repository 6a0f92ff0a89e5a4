"""An agent of LangGraph in a live call, with the tools that Baton serves at `/mcp`. Its model follows a script.

Takes one JSON object as its argument: `url`, `token` and `call`. Its last line is what the agent says in the end.
"""

import asyncio
import json
import sys
from typing import Any

from clerk import call_in, next_step, task
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


class Scripted(BaseChatModel):
    """A model that does what the script says."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[Any], *_: Any, **__: Any) -> ChatResult:
        call = call_in(messages[0].content)
        results = [(message.name, content(message)) for message in messages if isinstance(message, ToolMessage)]
        step = next_step(call, results)
        if isinstance(step, str):
            answer = AIMessage(step)
        else:
            name, arguments = step
            answer = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call_{len(results)}"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def content(message: ToolMessage) -> Any:
    """A tool's answer, which is JSON in a text."""
    text = message.content
    if not isinstance(text, str):
        text = "".join(part["text"] for part in text if part["type"] == "text")
    return json.loads(text)


async def main() -> None:
    given = json.loads(sys.argv[1])
    headers = {"Authorization": f"Bearer {given['token']}"}
    client = MultiServerMCPClient({"baton": {"transport": "streamable_http", "url": given["url"], "headers": headers}})
    tools = await client.get_tools()
    model = Scripted().bind_tools(tools)

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    async with asyncio.timeout(90):
        done = await graph.compile().ainvoke({"messages": [HumanMessage(task(given["call"]))]})
    for message in done["messages"]:
        print(f"{message.type}: {message.content or message.tool_calls}")
    print(done["messages"][-1].content)


asyncio.run(main())
