"""Checks the converters against the real frameworks.

Usage: check.py PATH-OF-THE-convert-EXAMPLE

A conversation is made with livekit-agents, written in each format, taken in and given out again by the framework that
the format belongs to, and read back. It must be equal, and livekit-agents must take it. What is not installed is named
and skipped, and then the exit code is 2. Checked with livekit-agents 1.8.9, openai 3.52.0, langchain-core 1.8.1,
pipecat-ai 1.14.0 and crewai 1.15.30.
"""

import importlib.util
import json
import subprocess
import sys
import warnings
from typing import Any

from livekit.agents import llm

MESSAGES = 400
NAMES = "Zoë Müller, 東京, 🎉, \"quoted\" and \\ and \u0007"


def conversation() -> llm.ChatContext:
    """40 minutes: instructions, parallel calls, images, interruptions, handoffs, an open call."""
    items: list[Any] = []
    at = 1763714480.123456

    def later() -> float:
        nonlocal at
        at += 1.234567
        return at

    items.append(llm.ChatMessage(role="system", content=["Be nice.", llm.chat_context.CacheBreakpoint()], created_at=later()))
    for turn in range(MESSAGES // 2):
        content: list[Any] = [f"{turn}: {NAMES}"]
        if turn % 40 == 7:
            content.append(llm.ImageContent(image="data:image/png;base64,iVBORw0KGgo=", inference_detail="low"))
        if turn % 40 == 9:
            content.insert(0, llm.ImageContent(image="https://example.com/a.png", inference_width=64))
        items.append(llm.ChatMessage(
            role="user", content=content, created_at=later(), transcript_confidence=0.987654321,
            metrics={"started_speaking_at": at, "end_of_turn_delay": 0.1},
        ))
        answer = llm.ChatMessage(
            role="assistant", content=[f"answer {turn}", "and more"] if turn % 3 else [f"answer {turn}"],
            interrupted=turn % 5 == 0, created_at=later(), extra={"openai": {"phase": "final_answer"}} if turn % 4 else {},
            metrics={"llm_node_ttft": 0.25, "provider_request_ids": ["req_1"], "llm_metadata": {"model_name": "m"}},
        )
        if turn % 6 == 1:
            calls = [llm.FunctionCall(
                id=f"{answer.id}/fnc_{n}", call_id=f"call_{turn}_{n}", name=f"tool_{n}",
                arguments=["{\"day\": 1.50, \"name\": \"Zoë\"}", "{}", "[not json"][n % 3], created_at=later(),
                group_id=answer.id if n == 1 else None,
                extra={"google": {"thought_signature": "c2ln"}} if n == 0 else {},
            ) for n in range(1 + turn % 3)]
            outputs = [llm.FunctionCallOutput(
                call_id=call.call_id, name=call.name, output=f"{{'ok': {NAMES!r}}}", is_error=n == 1, created_at=later(),
                reply_required=n != 2,
            ) for n, call in enumerate(calls)]
            items += [answer, *calls, *reversed(outputs)]
        else:
            items.append(answer)
        if turn % 50 == 49:
            items.append(llm.AgentHandoff(old_agent_id="a", new_agent_id="b", created_at=later()))
            items.append(llm.chat_context.AgentConfigUpdate(instructions="new", tools_added=["x"], created_at=later()))
            items.append(llm.ChatMessage(role="developer", content=["mind the time"], created_at=later()))
    items.append(llm.FunctionCall(call_id="open", name="slow", arguments="{}", created_at=later()))
    return llm.ChatContext(items)


def everything(context: llm.ChatContext) -> list[dict[str, Any]]:
    return context.to_dict(exclude_image=False, exclude_audio=False, exclude_timestamp=False)["items"]


def convert(binary: str, action: str, name: str, value: Any) -> Any:
    done = subprocess.run([binary, action, name], input=json.dumps(value), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{action} {name}: {done.stderr}")
    return json.loads(done.stdout)


def through_types(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    # A field that the types do not know is an error, not dropped.
    adapter = TypeAdapter(list[kind], config=ConfigDict(extra="forbid"))

    def read(value: Any) -> Any:
        # Lists are checked as they are read.
        if isinstance(value, dict):
            return {name: read(inner) for name, inner in value.items()}
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            return value
        return [read(inner) for inner in value]

    return lambda messages: read(adapter.validate_python(messages))


def openai_chat() -> Any:
    from openai.types.chat import ChatCompletionMessageParam

    return through_types(ChatCompletionMessageParam)


def openai_responses() -> Any:
    from openai.types.responses import ResponseInputItemParam

    return through_types(ResponseInputItemParam)


def openai_realtime() -> Any:
    from openai.types.realtime import ConversationItemCreateEventParam

    return through_types(ConversationItemCreateEventParam)


def langchain() -> Any:
    from langchain_core.messages import messages_from_dict, messages_to_dict

    return lambda messages: json.loads(json.dumps(messages_to_dict(messages_from_dict(messages))))


def pipecat() -> Any:
    from pipecat.processors.aggregators.llm_context import LLMContext

    return lambda messages: LLMContext(messages).get_messages()


def crewai() -> Any:
    # The file alone: the package is large, and needs other versions of what the others need.
    package = importlib.util.find_spec("crewai")
    if package is None or not package.submodule_search_locations:
        raise ImportError("crewai")
    path = f"{package.submodule_search_locations[0]}/utilities/types.py"
    spec = importlib.util.spec_from_file_location("crewai_types", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crewai_types"] = module
    spec.loader.exec_module(module)
    return through_types(module.LLMMessage)


def livekit_js() -> Any:
    return lambda messages: messages


def main() -> int:
    warnings.simplefilter("ignore")
    binary = sys.argv[1]
    context = conversation()
    items = everything(context)
    skipped = []
    for format in [openai_chat, openai_responses, openai_realtime, langchain, pipecat, crewai, livekit_js]:
        name = format.__name__
        try:
            take = format()
        except ImportError as error:
            skipped.append(name)
            print(f"{name}: skipped, {error}")
            continue
        out = convert(binary, "export", name, items)
        taken = take(out["messages"])
        strip = lambda value: ({k: strip(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else [strip(v) for v in value] if isinstance(value, list) else value)
        for before, after in zip(out["messages"], taken, strict=True):
            assert strip(before) == strip(after), f"{name} changes {before} to {after}"
        back = convert(binary, "import", name, {"messages": taken, "sidecar": out["sidecar"]})
        assert back["items"] == items, f"{name}: not equal"
        assert back["lost"] == [], back["lost"]
        again = llm.ChatContext.from_dict({"items": back["items"]})
        assert again.is_equivalent(context) and everything(again) == items, f"{name}: livekit-agents reads it otherwise"
        bare = convert(binary, "import", name, {"messages": taken})
        llm.ChatContext.from_dict({"items": bare["items"]}).to_provider_format("openai")
        size = len(json.dumps(out["sidecar"])) / len(json.dumps(items))
        print(f"{name}: {len(items)} items, {len(taken)} messages, equal; sidecar {size:.0%} of the items, {len(bare['lost'])} fields that items cannot hold")

    # Words only, and nothing that OpenAI does not know: it must be what livekit-agents itself would send.
    plain = context.copy()
    for item in plain.items:
        if item.type == "message":
            item.content = [part for part in item.content if isinstance(part, str)]
            item.extra = {}
        if item.type == "function_call":
            item.extra = {}
    for name, own in [("openai_chat", "openai"), ("openai_responses", "openai.responses")]:
        ours = convert(binary, "export", name, everything(plain))["messages"]
        theirs = plain.to_provider_format(own)[0]
        if name == "openai_responses":
            # One item each, in the order of the conversation; they leave the default type out and group by answers.
            key = lambda message: json.dumps(message, sort_keys=True)
            ours = sorted(({k: v for k, v in message.items() if v != "message"} for message in ours), key=key)
            theirs = sorted(theirs, key=key)
        assert ours == theirs, f"{name} is not what livekit-agents sends"
        print(f"{name}: what livekit-agents itself sends")
    return 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
