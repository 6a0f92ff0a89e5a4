"""LiveKit's agent worker: registers under a name, answers offers at once, takes assignments, reports load.

It never joins a room. A server that cannot be reached, or goes away, is asked again, with growing pauses.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from livekit import api
from livekit.protocol import agent as proto
from livekit.protocol import models

from baton.errors import BatonError
from baton.specialist.tasks import Tasks

CONNECT_MAX_SECS = 15.0
"""How long opening the connection and registering may take together."""
PING_INTERVAL_SECS = 10
"""The interval of pings and of reports."""
SILENCE_MAX_SECS = 25.0
"""A connection on which nothing arrived for so long is dead."""
MESSAGE_BYTES_MAX = 4 << 20
"""The largest message taken from the server."""
RESERVATION_MAX_SECS = 7.5
"""How long a slot is kept for a job whose assignment has not come."""
BACKOFF_MAX_SECS = 10.0
"""The longest pause between two attempts."""

logger = logging.getLogger("baton")


class WorkerError(BatonError):
    """The worker cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A job that was given to the worker."""

    job_id: str
    room: str
    """The room's name."""
    room_sid: str
    metadata: str
    """The dispatch's metadata."""
    url: str
    token: str
    """The access token for the room."""


Decide = Callable[[str], str]
"""Takes the metadata of an offer and gives the name of the participant. Raises `BatonError` to refuse it."""
Work = Callable[[Assignment], Awaitable[None]]
"""Carries out a job. What it raises makes the job a failed one."""


class _GoAway(Exception):
    """The server is draining."""


class Worker:
    """A worker of one process."""

    def __init__(
        self,
        *,
        agent_name: str,
        url: str,
        api_key: str,
        api_secret: str,
        max_jobs: int,
        decide: Decide,
        work: Work,
        deployment: str = "",
    ) -> None:
        if not agent_name:
            raise WorkerError("the agent name is empty: Baton dispatches by name, so set it to the one in the configuration")
        self._agent_name = agent_name
        self._url = url
        self._api_key = api_key
        self._api_secret = api_secret
        self._max_jobs = max_jobs
        self._decide = decide
        self._work = work
        self._deployment = deployment
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reserved: dict[str, float] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()
        self._draining = False

    async def run(self, stop: asyncio.Event) -> None:
        """Takes jobs until `stop` is set; the jobs that run then go on. Raises `WorkerError` if the server does not accept
        the keys."""
        backoff = 0.5
        async with aiohttp.ClientSession() as http:
            while not stop.is_set():
                try:
                    await self._serve(http, stop)
                    backoff = 0.5
                    continue
                except _GoAway:
                    logger.info("the server asks to register anew")
                    backoff = 0.5
                    continue
                except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                    logger.warning("no connection to the server: %s", error or type(error).__name__)
                finally:
                    self._socket = None
                try:
                    async with asyncio.timeout(backoff * random.uniform(0.8, 1.2)):
                        await stop.wait()
                except TimeoutError:
                    backoff = min(backoff * 2, BACKOFF_MAX_SECS)

    async def drain(self, grace_secs: float) -> None:
        """Takes no more jobs, and lets the running ones finish for so long."""
        self._draining = True
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=grace_secs)
        await self._tasks.stop()

    async def _serve(self, http: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        grants = api.VideoGrants(agent=True)
        token = api.AccessToken(self._api_key, self._api_secret).with_grants(grants).to_jwt()
        url = self._url.rstrip("/").replace("ws", "http", 1) if self._url.startswith("ws") else self._url.rstrip("/")
        try:
            async with asyncio.timeout(CONNECT_MAX_SECS):
                socket = await http.ws_connect(
                    f"{url}/agent",
                    headers={"Authorization": f"Bearer {token}"},
                    max_msg_size=MESSAGE_BYTES_MAX,
                    autoping=True,
                )
                await self._register(socket)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                raise WorkerError(
                    f"the server does not accept the api key {self._api_key!r} and its secret (http status {error.status})"
                ) from None
            raise
        self._socket = socket
        reports = self._tasks.start(self._report_for_ever(), "baton: worker reports")
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while True:
                receiving = asyncio.ensure_future(socket.receive())
                done, _ = await asyncio.wait(
                    (receiving, stopping), timeout=SILENCE_MAX_SECS, return_when=asyncio.FIRST_COMPLETED
                )
                if receiving not in done:
                    receiving.cancel()
                    if stopping in done:
                        return
                    raise ConnectionError(f"nothing was heard for {SILENCE_MAX_SECS:g} s")
                await self._received(receiving.result())
        finally:
            stopping.cancel()
            reports.cancel()
            await socket.close()

    async def _register(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        message = proto.WorkerMessage()
        message.register.type = proto.JobType.JT_ROOM
        message.register.agent_name = self._agent_name
        message.register.deployment = self._deployment
        message.register.version = "0.1.0"
        message.register.ping_interval = PING_INTERVAL_SECS
        message.register.allowed_permissions.CopyFrom(
            models.ParticipantPermission(
                can_publish=True, can_subscribe=True, can_publish_data=True, can_update_metadata=True
            )
        )
        await socket.send_bytes(message.SerializeToString())
        while True:
            answer = await socket.receive()
            if answer.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError("the server closed the connection before it registered the worker")
            server = proto.ServerMessage.FromString(answer.data)
            if server.WhichOneof("message") == "register":
                logger.info("registered as %s, worker %s", self._agent_name, server.register.worker_id)
                return

    async def _received(self, message: aiohttp.WSMessage) -> None:
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            raise ConnectionError("the server hung up")
        if message.type is not aiohttp.WSMsgType.BINARY:
            return
        try:
            server = proto.ServerMessage.FromString(message.data)
        except Exception:
            logger.warning("garbage from the server ignored")
            return
        kind = server.WhichOneof("message")
        if kind == "availability":
            await self._offered(server.availability.job)
        elif kind == "assignment":
            self._assigned(server.assignment)
        elif kind == "termination":
            # After a full reconnect the server terminates a job whose participant is back at once: the room decides.
            logger.debug("termination of job %s: its room decides", server.termination.job_id)
        elif kind == "go_away":
            raise _GoAway

    async def _offered(self, job: proto.Job) -> None:
        message = proto.WorkerMessage()
        answer = message.availability
        answer.job_id = job.id
        self._forget_late()
        if self._draining or len(self._jobs) + len(self._reserved) >= self._max_jobs:
            logger.info("offer refused: all %d slots are taken", self._max_jobs)
        else:
            try:
                answer.participant_name = self._decide(job.metadata)
                answer.participant_identity = f"agent-{job.id}"
                answer.available = True
                self._reserved[job.id] = time.monotonic()
            except BatonError as error:
                logger.warning("offer refused: %s", error)
        await self._send(message)

    def _assigned(self, assignment: proto.JobAssignment) -> None:
        job = assignment.job
        if self._reserved.pop(job.id, None) is None:
            logger.warning("assignment of a job that was not offered ignored")
            return
        given = Assignment(
            job_id=job.id,
            room=job.room.name,
            room_sid=job.room.sid,
            metadata=job.metadata,
            url=assignment.url or self._url,
            token=assignment.token,
        )
        task = self._tasks.start(self._job(given), f"baton: job {job.id}")
        self._jobs[job.id] = task

    async def _job(self, given: Assignment) -> None:
        await self._status(given.job_id, proto.JobStatus.JS_RUNNING, "")
        try:
            await self._work(given)
            status, error = proto.JobStatus.JS_SUCCESS, ""
        except asyncio.CancelledError:
            status, error = proto.JobStatus.JS_FAILED, "the process has stopped"
            raise
        except BatonError as failure:
            logger.error("call failed: %s", failure)
            status, error = proto.JobStatus.JS_FAILED, str(failure)
        except Exception as failure:
            logger.exception("call failed")
            status, error = proto.JobStatus.JS_FAILED, repr(failure)
        finally:
            self._jobs.pop(given.job_id, None)
            await self._status(given.job_id, status, error)
            await self._report()

    async def _status(self, job_id: str, status: "proto.JobStatus", error: str) -> None:
        message = proto.WorkerMessage()
        message.update_job.job_id = job_id
        message.update_job.status = status
        message.update_job.error = error
        await self._send(message)

    async def _report(self) -> None:
        message = proto.WorkerMessage()
        taken = len(self._jobs) + len(self._reserved)
        full = self._draining or taken >= self._max_jobs
        message.update_worker.load = taken / self._max_jobs
        message.update_worker.job_count = taken
        message.update_worker.status = (
            proto.WorkerStatus.WS_FULL if full else proto.WorkerStatus.WS_AVAILABLE
        )
        await self._send(message)

    async def _report_for_ever(self) -> None:
        while True:
            await self._report()
            ping = proto.WorkerMessage()
            ping.ping.timestamp = int(time.time() * 1000)
            await self._send(ping)
            await asyncio.sleep(PING_INTERVAL_SECS)

    async def _send(self, message: proto.WorkerMessage) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return
        try:
            async with asyncio.timeout(5.0):
                await socket.send_bytes(message.SerializeToString())
        except (ConnectionError, TimeoutError, aiohttp.ClientError) as error:
            logger.debug("message to the server lost: %s", error)

    def _forget_late(self) -> None:
        oldest = time.monotonic() - RESERVATION_MAX_SECS
        self._reserved = {job: since for job, since in self._reserved.items() if since > oldest}
