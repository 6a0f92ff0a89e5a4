"""Records conversations of real frameworks that share an environment: LiveKit Agents, and LangGraph with LangChain.

Usage: record.py FOLDER. Models are scripted, all else is the frameworks' own: sessions, tools, handoffs, checkpoints. Only
the clock is not: nobody waits for forty minutes.
"""

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from script import IMAGE, TURNS, Turn  # noqa: E402

START = 1763714480.123456


class Clock:
    """Forty minutes, in which nobody waits."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        self.now += 0.000731
        return self.now


CLOCK = Clock()
time.time = CLOCK  # type: ignore[assignment]

from livekit.agents import Agent, AgentSession, llm  # noqa: E402
from livekit.agents.llm import ChatChunk, ChoiceDelta, FunctionToolCall  # noqa: E402

from livekit.agents.voice.io import TextOutput  # noqa: E402

logging.disable(logging.CRITICAL)


class ScriptedStream(llm.LLMStream):
    async def _run(self) -> None:
        model: ScriptedLLM = self._llm  # type: ignore[assignment]
        words, calls = model.answer(self._chat_ctx)
        for word in words.split(" "):
            if word == "<interrupted>":
                model.cut_short.set()
                await asyncio.sleep(0.5)
            self._event_ch.send_nowait(ChatChunk(id="chunk", delta=ChoiceDelta(role="assistant", content=word + " ")))
        if calls:
            tools = [
                FunctionToolCall(name=name, arguments=arguments, call_id=call_id, extra=extra)
                for name, arguments, call_id, extra in calls
            ]
            self._event_ch.send_nowait(ChatChunk(id="chunk", delta=ChoiceDelta(role="assistant", tool_calls=tools)))


class ScriptedLLM(llm.LLM):
    def __init__(self) -> None:
        super().__init__()
        self.turn: Turn | None = None
        self.cut_short = asyncio.Event()

    def chat(self, *, chat_ctx: llm.ChatContext, tools: Any = None, conn_options: Any = None, **_: Any) -> llm.LLMStream:
        return ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)

    def answer(self, context: llm.ChatContext) -> tuple[str, list[Any]]:
        turn = self.turn
        assert turn is not None
        if context.items[-1].type == "function_call_output":
            return turn.afterwards, []
        calls = [
            (call.tool, call.arguments, call.id, {"google": {"thought_signature": "c2ln"}} if n == 0 and turn.number % 4 == 0 else None)
            for n, call in enumerate(turn.calls)
        ]
        return turn.answer, calls


class Desk(Agent):
    def __init__(self, name: str) -> None:
        super().__init__(instructions=f"You are the {name} desk of Müller & Söhne.", id=name)
        self.other = "billing" if name == "triage" else "triage"

    @llm.function_tool
    async def look_up(self, number: int, name: str = "") -> dict[str, Any]:
        """Looks an invoice up."""
        CLOCK.now += 1.25
        return {"number": number, "owner": name, "amount": 12.50, "note": "3 € \"zu viel\", 東京 🎉"}

    @llm.function_tool
    async def notify(self, to: str) -> str:
        """Tells somebody."""
        CLOCK.now += 0.5
        if to == "nobody":
            raise llm.ToolError("nobody is there")
        return f"told {to}"

    @llm.function_tool
    async def hand_over(self) -> Agent:
        """Hands over to the other desk."""
        return Desk(self.other)


class Shown(TextOutput):
    """What is written where a caller would hear it; what was said before an interruption is what came here."""

    def __init__(self) -> None:
        super().__init__(label="shown", next_in_chain=None)

    async def capture_text(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass


async def livekit() -> dict[str, Any]:
    model = ScriptedLLM()
    async with AgentSession(llm=model) as session:
        session.output.transcription = Shown()
        await session.start(Desk("triage"))
        for turn in TURNS:
            CLOCK.now += 38.0
            model.turn = turn
            model.cut_short.clear()
            if turn.image:
                said = llm.ChatMessage(role="user", content=[turn.said, llm.ImageContent(image=IMAGE, inference_detail="low")])
                await session.generate_reply(user_input=said)
            elif turn.interrupted:
                handle = session.generate_reply(user_input=turn.said)
                await model.cut_short.wait()
                await asyncio.sleep(0.05)
                await session.interrupt(force=True)
                await handle
            else:
                await session.run(user_input=turn.said)
            if turn.calls and turn.calls[0].tool == "hand_over":
                # The next desk starts by itself, some time after the turn.
                await asyncio.sleep(0.5)
        return session.history.to_dict(exclude_image=False, exclude_audio=False, exclude_timestamp=False)


def langgraph() -> list[dict[str, Any]]:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, messages_to_dict
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.tools import tool
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START as FIRST, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    @tool
    def look_up(number: int, name: str = "") -> dict[str, Any]:
        """Looks an invoice up."""
        return {"number": number, "owner": name, "amount": 12.50, "note": "3 € \"zu viel\", 東京 🎉"}

    @tool
    def notify(to: str) -> str:
        """Tells somebody."""
        if to == "nobody":
            raise ValueError("nobody is there")
        return f"told {to}"

    @tool
    def hand_over() -> str:
        """Hands over to the other desk."""
        return "handed over"

    class Scripted(BaseChatModel):
        turn: Any = None

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
            turn: Turn = self.turn
            usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
            if messages[-1].type == "tool":
                answer = AIMessage(turn.afterwards, usage_metadata=usage)
            else:
                calls = []
                broken = []
                for call in turn.calls:
                    try:
                        calls.append({"name": call.tool, "args": json.loads(call.arguments), "id": call.id, "type": "tool_call"})
                    except ValueError:
                        broken.append({"name": call.tool, "args": call.arguments, "id": call.id, "error": "no JSON", "type": "invalid_tool_call"})
                words = turn.answer.replace(" <interrupted>", "")
                content: Any = words
                if turn.number % 9 == 5:
                    content = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": words}]
                answer = AIMessage(content, tool_calls=calls, invalid_tool_calls=broken, usage_metadata=usage)
            return ChatResult(generations=[ChatGeneration(message=answer)])

    model = Scripted()
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([look_up, notify, hand_over], handle_tool_errors=True))
    graph.add_edge(FIRST, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    app = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "call-17"}}
    app.update_state(config, {"messages": [SystemMessage("You are the desk of Müller & Söhne.")]})
    for turn in TURNS:
        model.turn = turn
        content: Any = turn.said
        if turn.image:
            content = [{"type": "text", "text": turn.said}, {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}]
        app.invoke({"messages": [HumanMessage(content)]}, config)
    return messages_to_dict(app.get_state(config).values["messages"])


def write(folder: Path, name: str, value: Any) -> None:
    # One message a line: a change of one shows as one.
    lines = ",\n".join(json.dumps(message, ensure_ascii=False) for message in value)
    (folder / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    folder = Path(sys.argv[1])
    write(folder, "livekit", asyncio.run(livekit())["items"])
    write(folder, "langchain", langgraph())


if __name__ == "__main__":
    main()
