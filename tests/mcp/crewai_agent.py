"""An agent of CrewAI in a live call, with the tools that Baton serves at `/mcp`. Its model follows a script.

Takes one JSON object as its argument: `url`, `token` and `call`. Its last line is what the agent says in the end.
"""

import json
import os
import sys
from typing import Any

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false")

from clerk import call_in, next_step, task
from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.mcp import MCPServerHTTP


class Scripted(BaseLLM):
    """A model that does what the script says."""

    def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
        names: dict[str, str] = {}
        results = []
        for message in messages:
            for each in message.get("tool_calls") or []:
                names[each["id"]] = each["function"]["name"]
            if message["role"] == "tool":
                results.append((plain(names[message["tool_call_id"]]), json.loads(message["content"])))
        call = call_in(next(each["content"] for each in messages if "Listen to call " in str(each.get("content"))))
        step = next_step(call, results)
        if isinstance(step, str):
            return f"Thought: I now can give a great answer\nFinal Answer: {step}"
        name, arguments = step
        # CrewAI gives the tools of a server names of its own.
        offered = [each["function"]["name"] for each in tools or []]
        whole = next(each for each in offered if plain(each) == name)
        return [
            {"id": f"call_{len(results)}", "type": "function", "function": {"name": whole, "arguments": json.dumps(arguments)}}
        ]

    def supports_function_calling(self) -> bool:
        return True


TOOLS = ["get_context", "get_state", "patch_state", "request_handoff"]


def plain(name: str) -> str:
    """The name that Baton gives a tool."""
    return next((each for each in TOOLS if name.endswith(each)), name)


def main() -> None:
    given = json.loads(sys.argv[1])
    baton = MCPServerHTTP(url=given["url"], headers={"Authorization": f"Bearer {given['token']}"})
    clerk = Agent(
        role="A clerk",
        goal="See that complaints get to who deals with them",
        backstory="You listen to live calls.",
        llm=Scripted(model="scripted"),
        mcps=[baton],
        max_iter=12,
        verbose=False,
    )
    listens = Task(description=task(given["call"]), expected_output="Who has the call", agent=clerk)
    done = Crew(agents=[clerk], tasks=[listens], verbose=False).kickoff()
    print(done.raw)


main()
