"""A real server, the real Baton, and a caller."""

import asyncio
import json
import os
import tempfile
from contextlib import asynccontextmanager
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from baton.kit.phone import Phone
from baton.kit.server import LocalServer, Program
from baton.specialist import Agent, Call, Specialist

ROOT = Path(__file__).resolve().parents[3]
ROOM = "call-_+15550123_a1"


class Stage:
    """Everybody but the specialists."""

    def __init__(self, server: LocalServer, baton: Program) -> None:
        self.server = server
        self.baton = baton

    def lines(self, message: str) -> list[dict[str, Any]]:
        """The lines of Baton's log with this message."""
        found = []
        for line in self.baton.log().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("message") == message:
                found.append(entry)
        return found

    async def dial(self, room: str = ROOM) -> Phone:
        """A phone call, whose room asks for Baton."""
        phone = Phone()
        await phone.dial(self.server.url, self.server.api_key, self.server.api_secret, room, ["baton"])
        return phone


@asynccontextmanager
async def staged(
    specialists: list[str], fallback: str | None = None, beside: list[str] | None = None, more: str = "", route: str = "", each: str = ""
) -> AsyncIterator[Stage]:
    """Starts a server and Baton, which is registered then. The first specialist is the entry; `fallback` goes on when
    another one fails; those in `beside` know nothing of Baton; `route` is what every route has more, `each` what every specialist has more, `more` is the rest of the configuration."""
    async with server() as livekit:
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "baton.yaml"
            then = f"fallbacks: [{fallback}]\n" if fallback is not None else ""
            # On a busy machine a process may stand still for longer than callers are patient.
            patience = "" if fallback is not None else ", holder_answer_ms: 4000, switch_timeout_ms: 6000, revoke_timeout_ms: 4000"
            kinds = {name: "livekit_agent" if name in (beside or []) else "baton" for name in specialists}
            names = "".join(
                f"  {name}: {{kind: {kind}, after_handoff: stay, description: Knows {name}{each}}}\n"
                for name, kind in kinds.items()
            )
            config.write_text(
                "server: {health_bind: '127.0.0.1:0', drain_grace_secs: 60}\naudio: {fade_ms: 60}\n"
                f"entry: {specialists[0]}\nroutes: [{{from: '*', to: '*', splice: now{route}}}]\n{then}"
                f"timers: {{caller_join_timeout_ms: 8000, caller_return_ms: 1500{patience}}}\nspecialists:\n{names}{more}"
            )
            program = os.environ.get("BATON_PROGRAM") or str(ROOT / "target/debug/baton")
            environment = {
                **livekit.environment,
                "LIVEKIT_LOG_LEVEL": "info,baton=debug,worker=debug",
                "STATE_DIRECTORY": folder,
            }
            baton = Program(
                "baton", [program, "start", "--config", str(config)], Path(folder) / "baton.log", environment
            )
            await baton.start()
            try:
                await baton.wait_for('"registered"', 60.0)
                yield Stage(livekit, baton)
            except BaseException:
                print("baton said:\n" + "\n".join(baton.log().splitlines()[-60:]))
                raise
            finally:
                await baton.stop()


@asynccontextmanager
async def together(stage: Stage, program: Program, name: str, make: Callable[[Call], Agent]) -> AsyncIterator[None]:
    """Starts a specialist that is a program of its own, and another one, called `name`, in this process; both have ended afterwards."""
    await program.start()
    stop = asyncio.Event()
    livekit = stage.server
    keys = {"url": livekit.url, "api_key": livekit.api_key, "api_secret": livekit.api_secret}
    specialist = Specialist(name, **keys, drain_grace_secs=2)
    running = asyncio.create_task(specialist.run(make, stop))
    try:
        await until("both are registered", lambda: livekit.log().count("worker registered") == 3, 90.0)
        yield
    finally:
        print(program.log()[-12_000:])
        await program.stop()
        stop.set()
        await asyncio.wait_for(running, 20)


def server() -> LocalServer:
    """A real server, which set-up has installed if nobody names one."""
    installed = ROOT / "target/tools/livekit-server"
    named = os.environ.get("LIVEKIT_SERVER")
    return LocalServer(named or (str(installed) if installed.is_file() else None))


async def until(what: str, holds: Any, limit_secs: float = 45.0) -> None:
    """Waits until it holds."""
    deadline = asyncio.get_running_loop().time() + limit_secs
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"{limit_secs:g} s were not enough until {what}"
        await asyncio.sleep(0.02)
