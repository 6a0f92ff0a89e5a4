"""A LiveKit server for one run: a real one, on free ports of the loopback interface."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from baton.errors import BatonError
from baton.kit.line import Line

START_MAX_SECS = 20.0
"""How long the server may take to be healthy."""

START_TRIES_MAX = 4
"""How many times it is started, if its ports are taken."""
PORT_TAKEN = "address already in use"
"""What it says then."""

API_KEY = "kitkey"
API_SECRET = "a-secret-for-one-run-that-is-long-enough"


class ProgramError(BatonError):
    """A program is missing, does not start, or has ended."""


class Program:
    """A program of ours, with what it says in a file. It is killed when it is left."""

    def __init__(self, name: str, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log_path = log
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it. Raises `ProgramError`."""
        with self.log_path.open("ab") as out:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProgramError(f"{self.name} cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        """Its process id. Raises `ProgramError` if it was not started."""
        if self._process is None:
            raise ProgramError(f"{self.name} was not started")
        return self._process.pid

    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def check_alive(self) -> None:
        """Raises `ProgramError` if it has ended."""
        if self._process is not None and self._process.returncode is not None:
            tail = "\n".join(self.log().splitlines()[-20:])
            raise ProgramError(f"{self.name} ended with {self._process.returncode}; it said:\n{tail}")

    async def wait_for(self, text: str, limit_secs: float = START_MAX_SECS) -> None:
        """Returns when it has said this. Raises `ProgramError` if it ends or takes too long."""
        deadline = asyncio.get_running_loop().time() + limit_secs
        while text not in self.log():
            self.check_alive()
            if asyncio.get_running_loop().time() > deadline:
                tail = "\n".join(self.log().splitlines()[-20:])
                raise ProgramError(f"{self.name} did not say {text!r} within {limit_secs:g} s; it said:\n{tail}")
            await asyncio.sleep(0.05)

    def signal_group(self, number: int) -> None:
        """Sends a signal to it and all that it has started."""
        os.killpg(self.pid, number)

    async def stop(self) -> None:
        """Kills it and all that it has started, and waits."""
        process = self._process
        if process is None:
            return
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        await process.wait()


class LocalServer:
    """A running server: `async with LocalServer() as server`."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="baton-kit-")
        self._child: Program | None = None
        self._line: Line | None = None
        self._line_url = ""
        self.url = ""
        """Where participants and workers connect."""
        self.api_key = API_KEY
        self.api_secret = API_SECRET

    @property
    def environment(self) -> dict[str, str]:
        """What tells a worker of it."""
        return {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self.api_key,
            "LIVEKIT_API_SECRET": self.api_secret,
        }

    async def agents_environment(self) -> dict[str, str]:
        """The same for an agent whose line can be cut: see `line`."""
        if self._line is None:
            self._line = Line(int(self.url.rpartition(":")[2]))
            self._line_url = f"ws://127.0.0.1:{await self._line.start()}"
        return {**self.environment, "LIVEKIT_URL": self._line_url}

    @property
    def line(self) -> Line | None:
        """The line of agents that were started with `agents_environment`."""
        return self._line

    async def __aenter__(self) -> "LocalServer":
        program = self._program or os.environ.get("LIVEKIT_SERVER") or shutil.which("livekit-server")
        if program is None:
            raise ProgramError(
                "no livekit-server: it is neither named by LIVEKIT_SERVER nor on the PATH; "
                "install one, or give the url of a running server"
            )
        for _ in range(START_TRIES_MAX - 1):
            try:
                await self._start(program)
            except ProgramError:
                # Somebody else may have taken a port since it was found free.
                if PORT_TAKEN not in self.log():
                    raise
            else:
                return self
        await self._start(program)
        return self

    async def _start(self, program: str) -> None:
        folder = Path(self._folder.name)
        http, tcp, udp = _free_ports()
        config = folder / "server.yaml"
        config.write_text(
            f"port: {http}\nbind_addresses: [127.0.0.1]\nkeys: {{{self.api_key}: {self.api_secret}}}\n"
            f"rtc: {{udp_port: {udp}, tcp_port: {tcp}, node_ip: 127.0.0.1, use_external_ip: false, "
            "enable_loopback_candidate: true, ips: {includes: [127.0.0.1/32]}}\n"
        )
        log = folder / "server.log"
        log.unlink(missing_ok=True)
        self._child = Program("livekit-server", [program, "--config", str(config)], log)
        await self._child.start()
        self.url = f"ws://127.0.0.1:{http}"
        try:
            await self._healthy(f"http://127.0.0.1:{http}/")
        except BaseException:
            await self._child.stop()
            raise

    async def __aexit__(self, *_: object) -> None:
        if self._line is not None:
            await self._line.stop()
        if self._child is not None:
            await self._child.stop()
        self._folder.cleanup()

    def log(self) -> str:
        """What it has said."""
        return self._child.log() if self._child is not None else ""

    async def _healthy(self, page: str) -> None:
        deadline = asyncio.get_running_loop().time() + START_MAX_SECS
        async with aiohttp.ClientSession() as http:
            while True:
                if self._child is not None:
                    self._child.check_alive()
                try:
                    async with http.get(page, timeout=aiohttp.ClientTimeout(1)) as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                if asyncio.get_running_loop().time() > deadline:
                    raise ProgramError(f"livekit-server was not healthy within {START_MAX_SECS:g} s")
                await asyncio.sleep(0.05)


def _free_ports() -> tuple[int, int, int]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as http,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        for each in (http, tcp, udp):
            each.bind(("", 0))
        ports = tuple(each.getsockname()[1] for each in (http, tcp, udp))
    return ports[0], ports[1], ports[2]
