"""`python -m baton.kit --agent NAME`: tests a specialist that is running, or that the kit starts."""

import argparse
import asyncio
import os
import shlex
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from baton.errors import BatonError
from baton.kit.checks import CHECKS, NEED_A_LINE, Target
from baton.kit.report import check_all, document, table
from baton.kit.server import LocalServer, Program, ProgramError

REGISTER_MAX_SECS = 60.0
"""How long an agent that the kit starts may take to register."""


def main() -> int:
    """The exit code is 0 when every check passes, 1 when one does not, 2 when they could not be made."""
    parser = argparse.ArgumentParser(
        prog="python -m baton.kit",
        description="Drives a specialist through the duties of Baton's protocol, and says which of them it does not do.",
        epilog="Without --url a livekit-server of the kit's own is started: the one that LIVEKIT_SERVER names, else one "
        "on the PATH. A command after -- is started as the agent, with LIVEKIT_URL, LIVEKIT_API_KEY and "
        "LIVEKIT_API_SECRET of that server.",
    )
    parser.add_argument("--agent", required=True, metavar="NAME", help="the name under which the agent registers")
    parser.add_argument("--url", help="a running server; LIVEKIT_API_KEY and LIVEKIT_API_SECRET are its keys")
    parser.add_argument("--only", action="append", choices=list(CHECKS), metavar="CHECK", help="this check alone")
    parser.add_argument("--metadata", help="the operator's metadata for the specialist, as JSON")
    parser.add_argument("--at-once", type=int, default=3, metavar="N", help="calls at the same time, 3 by default")
    parser.add_argument("--json", metavar="FILE", help="write the report there too")
    parser.add_argument("--list", action="store_true", help="list the checks")
    arguments, command = parser.parse_known_args()
    if arguments.list:
        for name, check in CHECKS.items():
            print(f"{name:<18} {(check.__doc__ or '').strip()}")
        return 0
    if command and command[0] == "--":
        command = command[1:]
    elif command:
        parser.error(f"unknown arguments: {shlex.join(command)}; the agent's command comes after --")
    try:
        return asyncio.run(_run(arguments, command))
    except (BatonError, ProgramError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


async def _run(arguments: argparse.Namespace, command: list[str]) -> int:
    import json

    async with AsyncExitStack() as stack:
        if arguments.url:
            url = arguments.url
            key, secret = os.environ.get("LIVEKIT_API_KEY", ""), os.environ.get("LIVEKIT_API_SECRET", "")
            if not key or not secret:
                raise ProgramError("LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set: they are the server's keys")
            environment, line = {"LIVEKIT_URL": url}, None
        else:
            server = await stack.enter_async_context(LocalServer())
            url, key, secret = server.url, server.api_key, server.api_secret
            environment = await server.agents_environment()
            line = server.line
            if not command:
                raise ProgramError("the kit's own server has no agent yet: give the agent's command after --")
        if command:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            agent = Program(arguments.agent, command, Path(folder) / "agent.log", environment)
            await agent.start()
            stack.push_async_callback(agent.stop)
            if not arguments.url:
                await _registered(server, agent, arguments.agent)
        metadata = json.loads(arguments.metadata) if arguments.metadata else None
        target = Target(url=url, api_key=key, api_secret=secret, agent_name=arguments.agent, metadata=metadata, line=line)
        names = [name for name in arguments.only or CHECKS if line is not None or name not in NEED_A_LINE]
        outcomes = await check_all(target, names, arguments.at_once)
    for name in NEED_A_LINE.intersection(arguments.only or CHECKS) - set(names):
        print(f"left out: {name}, which cuts the line to the server: leave --url away", file=sys.stderr)
    print(table(outcomes))
    if arguments.json:
        Path(arguments.json).write_text(document(outcomes))
    return 0 if all(each.passed for each in outcomes) else 1


async def _registered(server: LocalServer, agent: Program, name: str) -> None:
    deadline = asyncio.get_running_loop().time() + REGISTER_MAX_SECS
    while not any("worker registered" in line and name in line for line in server.log().splitlines()):
        agent.check_alive()
        if asyncio.get_running_loop().time() > deadline:
            tail = "\n".join(agent.log().splitlines()[-20:])
            raise ProgramError(f"no worker named {name!r} has registered within {REGISTER_MAX_SECS:g} s; it said:\n{tail}")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
