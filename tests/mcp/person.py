"""An agent escalates a call to a person and answers for it, with the protocol's own client; what is not as it should be ends the program.

Takes one JSON object as its argument: `url` and `token`, `call`, `person`, `before` (who has the call), and `part`: `accept` escalates,
and accepts once the person is there; `hand_back` has it give the call back.
"""

import asyncio
import json
import sys

from client import PATIENCE, ask, check, over_http

POLL = 0.2
"""Seconds between two looks."""


async def accept(client, call, person):
    answer, refused = await ask(client, "accept", call=call)
    check(refused and answer["reason"] == "nobody_rung", f"nobody is rung yet: {answer}")
    answer, refused = await ask(client, "escalate", call=call, reason="a person is asked for", wait_ms=0)
    check(not refused and answer["outcome"] == "under_way", f"it is under way: {answer}")
    for _ in range(int(PATIENCE / POLL)):
        answer, refused = await ask(client, "accept", call=call)
        if not refused:
            break
        check(answer["reason"] == "not_there", f"the person has yet to come: {answer}")
        await asyncio.sleep(POLL)
    check(answer.get("accepted") is True, f"it is accepted: {answer}")
    for _ in range(int(PATIENCE / POLL)):
        view, _ = await ask(client, "get_call", call=call)
        if (view["holder"] or {}).get("specialist") == person:
            break
        await asyncio.sleep(POLL)
    check(view["holder"]["specialist"] == person and view["holder"]["person"], f"the person has the call: {view['holder']}")


async def hand_back(client, call, before):
    answer, refused = await ask(client, "hand_back", call=call, wait_ms=30000)
    check(not refused and answer["holder"] == before, f"the call is back: {answer}")
    answer, refused = await ask(client, "hand_back", call=call)
    check(refused and answer["reason"] == "no_person_holds", f"there is nobody to give it back: {answer}")


async def main():
    given = json.loads(sys.argv[1])
    async with over_http(given, "auto", given["token"]) as client:
        if given["part"] == "accept":
            await accept(client, given["call"], given["person"])
        else:
            await hand_back(client, given["call"], given["before"])
    print(f"{given['part']}: as it should be")


if __name__ == "__main__":
    asyncio.run(main())
