"""Checks the converters and the vCon against the real packages. `cargo xtask packages` runs it.

Usage: check.py GROUP PATH-OF-THE-convert-EXAMPLE, in the environment of the group: livekit, pipecat, crewai, vcon.

A conversation is written in each format of the group, taken in and given out again by the package that the format belongs
to, and read back. It must be equal. What the package itself has recorded must be taken by livekit-agents and by itself.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

MESSAGES = 400
NAMES = "Zoë Müller, 東京, 🎉, \"quoted\" and \\ and \u0007"


def recorded(name: str) -> list[Any]:
    path = Path(__file__).parent / "recorded" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def conversation() -> Any:
    """40 minutes: instructions, parallel calls, images, interruptions, handoffs, an open call."""
    from livekit.agents import llm

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


def everything(context: Any) -> list[dict[str, Any]]:
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
    from crewai.utilities.types import LLMMessage

    return through_types(LLMMessage)


def bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if inner is not None}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def there_and_back(binary: str, name: str, take: Any, items: list[Any]) -> list[Any]:
    """Through the package and back; returns what comes back without the sidecar."""
    out = convert(binary, "export", name, items)
    taken = take(out["messages"])
    for before, after in zip(out["messages"], taken, strict=True):
        assert bare(before) == bare(after), f"{name} changes {before} to {after}"
    back = convert(binary, "import", name, {"messages": taken, "sidecar": out["sidecar"]})
    assert back["items"] == items, f"{name}: not equal"
    assert back["lost"] == [], back["lost"]
    without = convert(binary, "import", name, {"messages": taken})
    size = len(json.dumps(out["sidecar"])) / len(json.dumps(items))
    print(f"{name}: {len(items)} items, {len(taken)} messages, equal; sidecar {size:.0%} of the items, "
          f"{len(without['lost'])} fields that items cannot hold")
    return without["items"]


def check_livekit(binary: str) -> None:
    from livekit.agents import llm

    context = conversation()
    for format in [openai_chat, openai_responses, openai_realtime, langchain]:
        for items in [everything(context), recorded("livekit")]:
            bare_items = there_and_back(binary, format.__name__, format(), items)
            # livekit-agents takes it, and could send it.
            llm.ChatContext.from_dict({"items": bare_items}).to_provider_format("openai")
    own = recorded("livekit")
    assert everything(llm.ChatContext.from_dict({"items": own})) == own, "livekit-agents reads its recording otherwise"
    for name in ["langchain", "pipecat", "crewai"]:
        items = convert(binary, "import", name, {"messages": recorded(name)})["items"]
        taken = llm.ChatContext.from_dict({"items": items})
        sent, _ = taken.to_provider_format("openai")
        calls = sum(len(message.get("tool_calls", [])) for message in sent)
        print(f"{name}'s recording: livekit-agents sends {len(sent)} messages with {calls} tool calls")
    out = convert(binary, "export", "langchain", own)["messages"]
    langchain()(out)
    check_what_livekit_sends(binary, context)


def check_what_livekit_sends(binary: str, context: Any) -> None:
    """Words only, and nothing that OpenAI does not know: it must be what livekit-agents itself would send."""
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


def check_pipecat(binary: str) -> None:
    there_and_back(binary, "pipecat", pipecat(), recorded("livekit"))
    items = convert(binary, "import", "pipecat", {"messages": recorded("pipecat")})["items"]
    there_and_back(binary, "pipecat", pipecat(), items)


def check_crewai(binary: str) -> None:
    there_and_back(binary, "crewai", crewai(), recorded("livekit"))
    items = convert(binary, "import", "crewai", {"messages": recorded("crewai")})["items"]
    there_and_back(binary, "crewai", crewai(), items)


def check_vcon(binary: str) -> None:
    from vcon import Vcon

    for name in ["livekit", "silent", "recorded"]:
        items = [] if name == "silent" else recorded("livekit")
        made = json.dumps(convert(binary, "vcon", name, items))
        valid, errors = Vcon.build_from_json(made).is_valid()
        assert valid, f"{name}: {errors}"
        vcon = json.loads(made)
        print(f"{name}: a valid vCon with {len(vcon['dialog'])} dialogs, {len(vcon['parties'])} parties")


def main() -> None:
    warnings.simplefilter("ignore")
    group, binary = sys.argv[1:]
    {"livekit": check_livekit, "pipecat": check_pipecat, "crewai": check_crewai, "vcon": check_vcon}[group](binary)


if __name__ == "__main__":
    main()
