"""Records the messages of a CrewAI agent. Usage: record.py FOLDER.

The model is scripted, all else is CrewAI's own: the crew, its executor, its tools.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false")
sys.path.insert(0, str(Path(__file__).parents[1]))

from crewai import Agent, Crew, Task  # noqa: E402
from crewai.llms.base_llm import BaseLLM  # noqa: E402
from crewai.tools import tool  # noqa: E402

from script import TURNS  # noqa: E402

RECORDED: list[Any] = []
ROUNDS = iter([turn for turn in TURNS if turn.calls])


class Scripted(BaseLLM):
    def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
        # What CrewAI puts beside a message for itself is no part of it.
        RECORDED[:] = json.loads(json.dumps(messages, default=lambda value: repr(type(value))))
        turn = next(ROUNDS, None)
        if turn is None:
            return "Thought: I now can give a great answer\nFinal Answer: Die Rechnung stimmt, Zoë. 🎉"
        return [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
            for call in turn.calls
        ]

    def supports_function_calling(self) -> bool:
        return True


@tool("look_up")
def look_up(number: int, name: str = "") -> str:
    """Looks an invoice up."""
    return json.dumps({"number": number, "owner": name, "amount": 12.50, "note": "3 € \"zu viel\", 東京 🎉"}, ensure_ascii=False)


@tool("notify")
def notify(to: str) -> str:
    """Tells somebody."""
    if to == "nobody":
        raise ValueError("nobody is there")
    return f"told {to}"


@tool("hand_over")
def hand_over() -> str:
    """Hands over to the other desk."""
    return "handed over"


def main() -> None:
    agent = Agent(
        role="The desk of Müller & Söhne", goal="Settle invoices", backstory="You are patient.", llm=Scripted(model="scripted"),
        tools=[look_up, notify, hand_over], max_iter=200, verbose=False,
    )
    task = Task(description="Settle Zoë's invoice \"17\".", expected_output="An answer", agent=agent)
    Crew(agents=[agent], tasks=[task], verbose=False).kickoff()
    lines = ",\n".join(json.dumps(message, ensure_ascii=False) for message in RECORDED)
    (Path(sys.argv[1]) / "crewai.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
