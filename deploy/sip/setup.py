"""Has phone calls reach Baton: an inbound SIP trunk, and a dispatch rule that gives each call a room with Baton in it.

    export LIVEKIT_URL=ws://localhost:7880 LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=...
    python setup.py --number +4930901820 --allow 203.0.113.0/24

Needs `livekit-api` and a server with Redis, which alone answers the SIP API. Trunk and rule are found by their names and made to
say what the arguments say, so a second run changes nothing. A trunk with a number and neither `--allow` nor `--username` lets
anybody call who reaches the bridge, and is refused unless `--open` says that this is meant.

One line of JSON on standard output names both.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable
from typing import TypeVar

import aiohttp
from google.protobuf.message import Message
from livekit import api
from livekit.api.sip_service import SipService

Item = TypeVar("Item", api.SIPInboundTrunkInfo, api.SIPDispatchRuleInfo)

PASSWORD = "SIP_TRUNK_PASSWORD"
TIMEOUT_SECS = 20


def main() -> int:
    arguments = _arguments()
    try:
        said = asyncio.run(_set_up(arguments))
    except api.TwirpError as error:
        hint = ": is Redis in the server's configuration?" if "not connected" in error.message else ""
        print(f"error: the server refuses ({error.code}): {error.message}{hint}", file=sys.stderr)
        return 1
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return 1
    print(json.dumps(said))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="baton", help="of trunk and rule")
    parser.add_argument("--agent-name", default="baton", help="`server.agent_name` of Baton's configuration")
    parser.add_argument("--number", action="append", default=[], help="that is called, in the form +4930901820; may be repeated")
    parser.add_argument("--allow", action="append", default=[], help="address or network of the provider; may be repeated")
    parser.add_argument("--username", default="", help=f"that the provider logs in with; its password is in {PASSWORD}")
    parser.add_argument("--open", action="store_true", help="take calls from anybody")
    parser.add_argument("--room-prefix", default="call-", help="that the names of the rooms begin with")
    parser.add_argument("--dry-run", action="store_true", help="say what would be changed, and change nothing")
    arguments = parser.parse_args()
    arguments.password = os.environ.get(PASSWORD, "")
    if not arguments.number:
        parser.error("no --number: which number is called?")
    if bool(arguments.username) != bool(arguments.password):
        parser.error(f"--username and {PASSWORD} belong together")
    if not (arguments.allow or arguments.username or arguments.open):
        parser.error("neither --allow nor --username: anybody could call. Give --open if that is meant")
    return arguments


async def _set_up(arguments: argparse.Namespace) -> dict[str, object]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECS)
    async with api.LiveKitAPI(timeout=timeout) as livekit:
        trunk_id, trunk_done = await _trunk(livekit.sip, arguments)
        rule_id, rule_done = await _rule(livekit.sip, arguments, trunk_id)
    return {"trunk": trunk_id, "trunk_is": trunk_done, "rule": rule_id, "rule_is": rule_done}


async def _trunk(sip: SipService, arguments: argparse.Namespace) -> tuple[str, str]:
    wanted = api.SIPInboundTrunkInfo(
        name=arguments.name,
        numbers=arguments.number,
        allowed_addresses=arguments.allow,
        auth_username=arguments.username,
        auth_password=arguments.password,
    )
    listed = await sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
    found = _named(arguments.name, listed.items, "trunks")
    if found is None:
        if arguments.dry_run:
            return "", "missing"
        made = await sip.create_inbound_trunk(api.CreateSIPInboundTrunkRequest(trunk=wanted))
        return made.sip_trunk_id, "made"
    # A server may keep the password to itself.
    fields = ["name", "numbers", "allowed_addresses", "auth_username", *(["auth_password"] if found.auth_password else [])]
    if _same(found, wanted, fields):
        return found.sip_trunk_id, "unchanged"
    if arguments.dry_run:
        return found.sip_trunk_id, "different"
    # What else is set there stays.
    changed = api.SIPInboundTrunkInfo()
    changed.CopyFrom(found)
    _take(changed, wanted, ["name", "numbers", "allowed_addresses", "auth_username", "auth_password"])
    await sip.update_inbound_trunk(found.sip_trunk_id, changed)
    return found.sip_trunk_id, "changed"


async def _rule(sip: SipService, arguments: argparse.Namespace, trunk_id: str) -> tuple[str, str]:
    room = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=arguments.agent_name)])
    each_alone = api.SIPDispatchRuleIndividual(room_prefix=arguments.room_prefix)
    wanted = api.SIPDispatchRuleInfo(
        name=arguments.name,
        trunk_ids=[trunk_id],
        rule=api.SIPDispatchRule(dispatch_rule_individual=each_alone),
        room_config=room,
    )
    listed = await sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
    found = _named(arguments.name, listed.items, "dispatch rules")
    if found is None:
        if arguments.dry_run:
            return "", "missing"
        made = await sip.create_dispatch_rule(api.CreateSIPDispatchRuleRequest(dispatch_rule=wanted))
        return made.sip_dispatch_rule_id, "made"
    fields = ["name", "trunk_ids", "rule", "room_config"]
    if _same(found, wanted, fields):
        return found.sip_dispatch_rule_id, "unchanged"
    if arguments.dry_run:
        return found.sip_dispatch_rule_id, "different"
    changed = api.SIPDispatchRuleInfo()
    changed.CopyFrom(found)
    _take(changed, wanted, fields)
    await sip.update_dispatch_rule(found.sip_dispatch_rule_id, changed)
    return found.sip_dispatch_rule_id, "changed"


def _named(name: str, items: Iterable[Item], what: str) -> Item | None:
    found = [item for item in items if item.name == name]
    if len(found) > 1:
        raise ValueError(f"there are {len(found)} {what} of the name {name!r}: delete all but one, or give another --name")
    return found[0] if found else None


def _same(one: Message, other: Message, fields: list[str]) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _take(into: Message, wanted: Message, fields: list[str]) -> None:
    for field in fields:
        into.ClearField(field)
    into.MergeFrom(wanted)


if __name__ == "__main__":
    sys.exit(main())
