"""Both ends of a link over a channel that loses, repeats, delays, reorders and breaks: everything arrives exactly once
and in order. Runs are seeded; a seed that ever failed is kept in `SEEDS`."""

import hashlib
import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ends import config
from samples import HELLO

from baton import (
    FRAME_BYTES_MAX,
    Assembly,
    Body,
    CallId,
    ChunkLimits,
    Chunks,
    ContextAppend,
    ContextChunk,
    ContextItem,
    Epoch,
    Frame,
    Hello,
    Link,
    LinkEvent,
    Received,
    Reject,
    Side,
    StreamId,
    WindowFullError,
)

SEEDS = [1, 2, 3]
TRAFFIC: dict[str, Any] = json.loads((Path(__file__).parents[3] / "proto/traffic.json").read_text(encoding="utf-8"))
"""What the ends of the Rust crate send in the same runs: `src/wire/tests/traffic.rs` writes it."""
U64 = 2**64 - 1
LARGE_EVERY = 50
"""One body of so many goes in pieces."""
LARGE_BYTES = 40_000


class Draw:
    """SplitMix64, as in the simulation of the Rust crate."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, limit: int) -> int:
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & U64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & U64
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & U64
        return (z ^ (z >> 31)) % limit

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance


@dataclass(frozen=True)
class Weather:
    loss_percent: int
    repeat_percent: int
    garbage_percent: int
    delay_ms_max: int
    breaks: int
    """How often the specialist's connection breaks, for up to three seconds."""
    bodies: int


BAD = Weather(loss_percent=30, repeat_percent=20, garbage_percent=3, delay_ms_max=400, breaks=3, bodies=150)
FAIR = Weather(loss_percent=0, repeat_percent=0, garbage_percent=0, delay_ms_max=1, breaks=0, bodies=1_000)


@dataclass
class End:
    link: Link
    limits: ChunkLimits
    assembly: Assembly
    to_send: int
    sent: int = 0
    large: Chunks | None = None
    """The body that is under way in pieces."""
    received: list[int] = field(default_factory=list)

    def offer(self, now: int) -> None:
        while self.sent < self.to_send:
            try:
                if self.sent % LARGE_EVERY == LARGE_EVERY - 1:
                    self.large = self.large or Chunks(self.limits, self.sent, body(self.sent, LARGE_BYTES))
                    if not self.large.send(now, Epoch(1), self.link):
                        return
                    self.large = None
                else:
                    self.link.send(now, Epoch(1), body(self.sent, 0))
            except WindowFullError:
                return
            self.sent += 1

    def take(self, events: list[LinkEvent]) -> None:
        for event in events:
            if not isinstance(event, Received):
                continue
            said: Body | None = event.body
            if isinstance(said, ContextChunk):
                said = self.assembly.take(said)
            if isinstance(said, Hello):
                self.link.welcome(Epoch(1))
            elif isinstance(said, ContextAppend):
                self.received.append(int(said.items[0].id))

    def done(self, expected: int) -> bool:
        return len(self.received) >= expected and self.sent == self.to_send and self.link.waiting == 0


def end(side: Side, stream: int, to_send: int) -> End:
    limits = ChunkLimits(side=side)
    return End(Link(config(side, CallId("sim"), StreamId(stream))), limits, Assembly(limits), to_send)


def body(number: int, size: int) -> ContextAppend:
    return ContextAppend((ContextItem(str(number), None, bytes(size)),))


def run(seed: int, weather: Weather, seen: Callable[[int, int, bytes], None] = lambda _now, _at, _packet: None) -> int:
    """Runs until both ends have everything, and returns how many milliseconds of virtual time that took. `seen` is given
    each packet that is sent, with when and by which end."""
    draw = Draw(seed)
    now = 0
    ends = (
        end(Side.ORCHESTRATOR, 100 + seed, weather.bodies),
        end(Side.SPECIALIST, 900 + seed, weather.bodies),
    )
    channel: list[tuple[int, int, int, bytes]] = []
    count = 0
    broken_until = 0
    breaks_left = weather.breaks
    next_break = draw.below(2_000)
    ends[1].link.hello(now, HELLO)

    while True:
        if breaks_left > 0 and now >= next_break:
            breaks_left -= 1
            broken_until = now + draw.below(3_000)
            next_break = broken_until + 500 + draw.below(2_000)
            ends[1].link.hello(now, HELLO)
        for at, this in enumerate(ends):
            this.offer(now)
            this.link.handle_timeout(now)
            while (transmit := this.link.poll_transmit(now)) is not None:
                assert len(transmit.payload) <= FRAME_BYTES_MAX
                seen(now, at, transmit.payload)
                for _ in range(1 + draw.percent(weather.repeat_percent)):
                    if now < broken_until or draw.percent(weather.loss_percent):
                        continue
                    payload = transmit.payload
                    if draw.percent(weather.garbage_percent):
                        payload = bytes(draw.below(256) for _ in range(draw.below(60)))
                    delay = 1 + draw.below(weather.delay_ms_max)
                    count += 1
                    heapq.heappush(channel, (now + delay, count, 1 - at, payload))
        if all(this.done(weather.bodies) for this in ends):
            break
        times = [channel[0][0]] if channel else []
        times += [int(time) for this in ends if (time := this.link.poll_timeout()) is not None]
        if breaks_left > 0:
            times.append(next_break)
        assert times, f"seed {seed}: stuck"
        now = max(min(times), now)
        assert now < 3_600_000, f"seed {seed}: never done"
        while channel and channel[0][0] <= now:
            _, _, to, payload = heapq.heappop(channel)
            ends[to].take(ends[to].link.handle_frame(now, payload))
    expected = list(range(weather.bodies))
    assert ends[0].received == expected, f"seed {seed}"
    assert ends[1].received == expected, f"seed {seed}"
    return now


@pytest.mark.parametrize("seed", TRAFFIC)
def test_the_traffic_of_a_run_is_that_of_the_rust_crate(seed: str) -> None:
    packets = 0
    sent = hashlib.sha256()

    def seen(now: int, at: int, packet: bytes) -> None:
        nonlocal packets
        packets += 1
        sent.update(now.to_bytes(8, "little") + bytes([at]))
        # A Reject repeats the words of the protobuf library.
        if not isinstance(Frame.decode(packet).body, Reject):
            sent.update(packet)

    took_ms = run(int(seed), BAD, seen)
    assert {"took_ms": took_ms, "packets": packets, "sha256": sent.hexdigest()} == TRAFFIC[seed]


@pytest.mark.parametrize("seed", [*SEEDS, *range(1_000, 1_040)])
def test_everything_arrives_once_and_in_order_in_bad_weather(seed: int) -> None:
    run(seed, BAD)


@pytest.mark.parametrize("seed", range(40))
def test_everything_arrives_in_any_weather(seed: int) -> None:
    chance = random.Random(seed)
    weather = Weather(
        loss_percent=chance.randrange(60),
        repeat_percent=chance.randrange(60),
        garbage_percent=chance.randrange(10),
        delay_ms_max=chance.randrange(1, 1_500),
        breaks=chance.randrange(4),
        bodies=chance.randrange(1, 90),
    )
    run(chance.getrandbits(56), weather)


def test_fair_weather_needs_no_resending() -> None:
    assert run(7, FAIR) < 200
