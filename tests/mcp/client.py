"""Agents at Baton's `/mcp`, with the protocol's own client; every step that is not as it should be ends the program.

Takes one JSON object as its argument: `url`, `token` and `lister` (access tokens), `baton` (the program), `call`, `words` (what was
said in the call), `number` (the caller's), and `specialists`, the two that hand the call to each other.
"""

import asyncio
import json
import os
import sys
import warnings
from contextlib import asynccontextmanager

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.subscriptions import ResourceUpdated

# Older clients subscribe in a way that the newest protocol no longer has.
warnings.simplefilter("ignore", MCPDeprecationWarning)

PATIENCE = 30
READS = {"list_calls", "get_call", "get_context", "get_packet", "get_state"}
CHANGES = {"patch_state", "request_handoff", "hold", "resume", "escalate", "accept", "decline", "hand_back"}


def check(holds, what):
    if not holds:
        raise SystemExit(f"not as it should be: {what}")


async def ask(client, tool, **arguments):
    """What a tool answers, and whether it refuses."""
    result = await asyncio.wait_for(client.call_tool(tool, arguments), PATIENCE)
    return result.structured_content, bool(result.is_error)


async def read(client, uri):
    result = await asyncio.wait_for(client.read_resource(uri), PATIENCE)
    return json.loads(result.contents[0].text)


@asynccontextmanager
async def over_http(given, mode, token, handler=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        transport = streamable_http_client(given["url"], http_client=http)
        async with Client(transport, mode=mode, message_handler=handler) as client:
            yield client


@asynccontextmanager
async def over_stdio(given, mode, token, handler=None):
    environment = {**os.environ, "BATON_TOKEN": token, "BATON_MCP_URL": given["url"]}
    program = StdioServerParameters(command=given["baton"], args=["mcp"], env=environment)
    async with Client(program, mode=mode, message_handler=handler) as client:
        yield client


async def sees(client, given):
    """Everything that is there to be read."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    check(READS | CHANGES == set(tools), f"the tools are {sorted(tools)}")
    for name, tool in tools.items():
        check(tool.annotations.read_only_hint == (name in READS), f"{name} is annotated {tool.annotations}")
        check(tool.description and tool.input_schema["type"] == "object", f"{name} describes itself")

    call = given["call"]
    calls, _ = await ask(client, "list_calls")
    check([row["id"] for row in calls["calls"]] == [call], f"one call is listed: {calls}")
    one, _ = await ask(client, "get_call", call=call)
    check(one["holder"]["specialist"] in given["specialists"], f"one of them holds: {one}")
    context, _ = await ask(client, "get_context", call=call)
    check(given["words"] in json.dumps(context), "what the caller said is read")
    packet, _ = await ask(client, "get_packet", call=call)
    check(given["words"] in json.dumps(packet), "what the caller said is in the packet")
    check((await ask(client, "get_call", call="none")) == ({"code": "no_call", "detail": 'there is no call "none" here'}, True), "no such call")

    templates = (await client.list_resource_templates()).resource_templates
    check({template.uri_template for template in templates} >= {"call://{id}/context", "call://{id}/state", "call://{id}/timeline"}, "templates")
    resources = {resource.uri for resource in (await client.list_resources()).resources}
    check(f"call://{call}/timeline" in resources, f"the call has resources: {resources}")
    timeline = await read(client, f"call://{call}/timeline")
    check("granted" in {entry["what"] for entry in timeline["entries"]}, "the timeline has the grant")
    check(given["words"] in json.dumps(await read(client, f"call://{call}/context")), "the words are a resource")
    for wrong in ["call://none/state", f"call://{call}/words", "file:///etc/passwd"]:
        try:
            await read(client, wrong)
        except MCPError:
            continue
        check(False, f"{wrong} is no resource")


async def writes(client, given, key):
    """Writes state by compare-and-set, and returns the state's address."""
    call = given["call"]
    before, _ = await ask(client, "get_state", call=call)
    version = before["version"]
    after, refused = await ask(client, "patch_state", call=call, base_version=version, patch={key: {"paid": True}})
    check(not refused and after["version"] == version + 1, f"the patch is taken: {after}")
    state, _ = await ask(client, "get_state", call=call)
    check(state["document"][key] == {"paid": True}, f"the state has it: {state}")
    late, refused = await ask(client, "patch_state", call=call, base_version=version, patch={key: {"paid": False}})
    check(refused and late["code"] == "conflict" and late["current"][key] == {"paid": True}, f"a late patch conflicts: {late}")


async def hands_over(client, given):
    call = given["call"]
    refusal, refused = await ask(client, "request_handoff", call=call, to="nobody")
    check(refused and refusal["reason"] == "unknown_target", f"nobody is no target: {refusal}")
    one, _ = await ask(client, "get_call", call=call)
    [to] = set(given["specialists"]) - {one["holder"]["specialist"]}
    done, refused = await ask(client, "request_handoff", call=call, to=to, reason="the agent asks", wait_ms=PATIENCE * 1000)
    check(not refused and done["outcome"] == "done" and done["holder"] == to, f"the baton moves: {done}")


async def holds(client, given):
    call = given["call"]
    refusal, refused = await ask(client, "resume", call=call)
    check(refused and refusal["reason"] == "not_held", f"there is no hold: {refusal}")
    one, _ = await ask(client, "get_call", call=call)
    holder = one["holder"]["specialist"]
    held, refused = await ask(client, "hold", call=call)
    check(not refused and held == {"held": True}, f"the caller is on hold: {held}")
    one, _ = await ask(client, "get_call", call=call)
    check(one["holder"] is None and one["held"]["specialist"] == holder, f"nobody has the baton: {one}")
    done, refused = await ask(client, "resume", call=call, wait_ms=PATIENCE * 1000)
    check(not refused and done["holder"] == holder, f"the hold is over: {done}")
    refusal, refused = await ask(client, "escalate", call=call)
    check(refused and refusal["code"] == "not_configured", f"nobody to escalate to: {refusal}")
    for tool, reason in {"accept": "nobody_rung", "decline": "nobody_rung", "hand_back": "no_person_holds"}.items():
        refusal, refused = await ask(client, tool, call=call)
        check(refused and refusal["reason"] == reason, f"there is no person: {refusal}")


async def follows_as_now(client, given, key):
    """A subscription of the newest protocol: a stream of its own."""
    uri = f"call://{given['call']}/state"
    async with client.listen(resource_subscriptions=[uri]) as changes:
        await writes(client, given, key)
        async with asyncio.timeout(PATIENCE):
            async for change in changes:
                check(change == ResourceUpdated(uri=uri), f"the state has changed: {change}")
                return


async def follows_as_before(client, given, key, changed):
    """A subscription of an older protocol: notifications of the session."""
    uri = f"call://{given['call']}/state"
    await client.subscribe_resource(uri)
    await writes(client, given, key)
    check(await asyncio.wait_for(changed.get(), PATIENCE) == uri, "the state has changed")
    await client.unsubscribe_resource(uri)


async def without_the_grant(given):
    """Who may only list sees no personal data, and changes nothing; who brings nothing sees nothing."""
    call = given["call"]
    async with over_http(given, "auto", given["lister"]) as client:
        calls, _ = await ask(client, "list_calls")
        check([row["id"] for row in calls["calls"]] == [call], "the call is listed")
        check(given["number"] not in json.dumps(calls), "the number is not shown")
        attempts = {
            "get_context": {}, "get_packet": {}, "get_state": {}, "request_handoff": {"to": "nobody"},
            "patch_state": {"base_version": 0, "patch": {"x": 1}}, "hold": {}, "resume": {}, "escalate": {}, "accept": {}, "decline": {}, "hand_back": {},
        }
        for tool, arguments in attempts.items():
            answer, refused = await ask(client, tool, call=call, **arguments)
            check(refused and answer["code"] == "not_allowed", f"{tool} is not allowed: {answer}")
        check((await client.list_resources()).resources == [], "nothing is there to be read")
        try:
            await read(client, f"call://{call}/state")
            check(False, "the state is not read")
        except MCPError as error:
            check(given["number"] not in str(error), "an error tells nothing")
    for token in ["", "wrong"]:
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            answer = await http.post(given["url"], json=body, headers=headers if token else {})
            check(answer.status_code == 401 and answer.json()["code"] == "unauthorized", f"refused: {answer.text}")


async def main():
    given = json.loads(sys.argv[1])
    changed = asyncio.Queue()

    async def heard(message):
        if getattr(message, "method", None) == "notifications/resources/updated":
            changed.put_nowait(str(message.params.uri))

    for name, connect in [("http", over_http), ("stdio", over_stdio)]:
        async with connect(given, "auto", given["token"]) as client:
            print(f"{name}: {client.protocol_version}", flush=True)
            await sees(client, given)
            await follows_as_now(client, given, f"{name}_now")
            await holds(client, given)
            await hands_over(client, given)
        async with connect(given, "legacy", given["token"], heard) as client:
            print(f"{name}: {client.protocol_version}", flush=True)
            await sees(client, given)
            await follows_as_before(client, given, f"{name}_before", changed)
            await hands_over(client, given)
    await without_the_grant(given)
    print("as it should be")


if __name__ == "__main__":
    asyncio.run(main())
