"""The line between an agent and the server, which the kit can cut: what a broken network does to an agent's signalling."""

import asyncio
import base64
import json
import re

from baton.specialist.tasks import Tasks

CHUNK_BYTES = 1 << 16
HEAD_BYTES_MAX = 1 << 16
"""The longest request."""
HEAD_MAX_SECS = 10.0
"""How long a request may take."""

_TOKEN = re.compile(rb"(?:access_token=|[Aa]uthorization: [Bb]earer )([\w-]+\.[\w-]+\.[\w-]+)")


class Line:
    """Hands on what is sent to a port of this machine, until it is stopped."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, str] = {}
        self._refused: set[str] = set()
        self._tasks = Tasks()

    async def start(self) -> int:
        """Starts, and returns the port to send to."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._tasks.stop()

    def cut(self, room: str) -> int:
        """Cuts the signalling of whoever is in this room, and returns how many connections that were."""
        cut = [writer for writer, of in self._open.items() if of == room]
        for writer in cut:
            writer.transport.abort()
        return len(cut)

    def refuse(self, room: str, refused: bool = True) -> None:
        """Cuts the signalling of whoever is in this room, and refuses it from then on, or no more. Who is refused when it would resume
        its connection makes a new one: the full reconnect of LiveKit's clients."""
        if refused:
            self._refused.add(room)
            self.cut(room)
        else:
            self._refused.discard(room)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = ""
        to: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(HEAD_MAX_SECS):
                head = await reader.readuntil(b"\r\n\r\n")
                answers, to = await asyncio.open_connection("127.0.0.1", self._to)
            self._open[writer] = room = _room_of(head)
            if room in self._refused:
                return
            to.write(head)
            back = self._tasks.start(_hand_on(answers, writer), "kit: line")
            await _hand_on(reader, to)
            back.cancel()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The one end or the other is gone, or it is no request.
            pass
        finally:
            self._open.pop(writer, None)
            for end in (writer, to):
                if end is not None:
                    end.transport.abort()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        # The other end is gone.
        pass
    finally:
        writer.transport.abort()


def _room_of(head: bytes) -> str:
    """The room that a participant's request is for; empty for any other request."""
    path = head.split(b" ", 2)[1:2]
    token = _TOKEN.search(head)
    if not path or not path[0].startswith(b"/rtc") or token is None:
        return ""
    try:
        body = token[1].split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        return str(claims["video"]["room"])
    except (ValueError, LookupError, TypeError):
        return ""
