"""The last one of the mixed demo's first call: a worker of LiveKit Agents that knows nothing of Baton, in its side room.

What it says has to be in the call's conversation, as Baton has read it over the agent's own protocol: the operators' interface is asked.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
from livekit import api
from speech import PHONE_RATE, clip, spoken_secs
from stage import until
from telling import Telling

from baton.kit.phone import Phone

NAME = "concierge"
QUESTION = "I have a question"
SPEECH = clip("triage-welcome.wav")
LENGTHS = {QUESTION: spoken_secs(SPEECH, PHONE_RATE)}
STEP_MAX_SECS = 45.0


class Stock:
    """Its part."""

    def __init__(self, log: Path, operator: str, keys: tuple[str, str], room: str) -> None:
        self._telling = Telling(log)
        self._operator = operator
        self._keys = keys
        self._room = room
        self.failures: list[str] = []

    async def comes_last(self, phone: Phone) -> dict[str, Any]:
        """Has it take over for a key, greet, hear the caller and answer with a tool's result. Returns what came of it."""
        since = asyncio.get_running_loop().time()
        await phone.room.local_participant.publish_dtmf(code=3, digit="3")
        await until("the stock agent greets", lambda: self._said() == 1, STEP_MAX_SECS)
        await until("its greeting is heard", lambda: phone.hears_since(since) > 500, STEP_MAX_SECS)
        await asyncio.sleep(1.5)
        phone.say(SPEECH)
        await phone.said()
        await until("the stock agent answers", lambda: self._said() == 2, STEP_MAX_SECS)
        await asyncio.sleep(1.5)
        told = {each["id"]: each["text"] for each in self._telling.all("item")}
        deadline = time.monotonic() + STEP_MAX_SECS
        while True:
            known = await self._conversation()
            messages = {item["id"]: item["content"] for item in known if item["type"] == "message"}
            missing = [text for id, text in told.items() if messages.get(id) != [text]]
            tools = [item["type"] for item in known if item.get("name") == "look_up" and item.get("output", "all about rooms") == "all about rooms"]
            if not missing and {"function_call", "function_call_output"} <= set(tools):
                break
            if time.monotonic() > deadline:
                self.failures.append(f"of what the stock agent says Baton does not know {missing}, and of its tool {tools}")
                break
            await asyncio.sleep(0.2)
        if [each["baton"] for each in self._telling.all("modules")] != [False]:
            self.failures.append("the stock agent has a package of Baton's")
        return {"said": len(told), "unknown": len(missing)}

    def _said(self) -> int:
        return sum(each["role"] == "assistant" for each in self._telling.all("item"))

    async def _conversation(self) -> list[dict[str, Any]]:
        grants = api.VideoGrants(room_list=True, room_admin=True, room=self._room)
        token = api.AccessToken(*self._keys).with_identity("demo").with_grants(grants).to_jwt()
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(self._operator, headers=headers, timeout=aiohttp.ClientTimeout(10)) as http:
            calls = await _page(http, "/api/v1/calls")
            (call,) = calls["calls"]
            items: list[dict[str, Any]] = []
            after = 0
            while True:
                page = await _page(http, f"/api/v1/calls/{call['id']}/context?after={after}&limit=500")
                items += [each["item"] for each in page["items"] if each.get("item") is not None]
                if page.get("next") is None:
                    return items
                after = page["next"]


async def _page(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with http.get(path) as answer:
        answer.raise_for_status()
        page: dict[str, Any] = await answer.json()
        return page
