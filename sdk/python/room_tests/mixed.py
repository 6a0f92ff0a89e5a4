"""A call between frameworks: triage of LiveKit Agents, payments of Pipecat, accounts in Rust, and a concierge that knows nothing of
Baton; one caller, one shared state.

The baton goes round: triage, payments, triage, accounts. The concierge comes last: see `stock`. Models and voices follow a script. `judging` says whether all was well.
In a second call the caller speaks, and its turns are told by real analyzers: see `turning`.
"""

import argparse
import asyncio
import json
import math
import os
import socket
import sys
import time
import wave
from array import array
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from judging import PITCHES, STOCK_HZ, TONES, Handoff, Judge, Word
from stage import ROOT, server, until
from stock import LENGTHS as STOCK_LENGTHS
from stock import NAME as STOCK
from stock import Stock
from telling import Telling
from turning import LENGTHS, Turning
from turning import NUMBER as SPEAKER
from turning import ROOM as SPEAKERS_ROOM

from baton.kit.phone import SAMPLE_RATE, Phone
from baton.kit.server import LocalServer, Program

HERE = Path(__file__).parent
ROOM = "call-_+15550199_mixed"
STEP_MAX_SECS = 45.0
"""How long anything of the call may take."""
ROUND = [("payments", "greet"), ("triage", "say"), ("accounts", "continue"), ("triage", "wait")]
"""Who is handed the baton, and how it opens."""
WORD_SECS = 0.2
WORDS_APART_SECS = 0.5
CONFIG = """# Written by the demo.
server: {health_bind: '127.0.0.1:0', drain_grace_secs: 0}
api: {bind: '127.0.0.1:OPERATORS_PORT'}
audio: {fade_ms: 60}
entry: triage
specialists:
  triage: {after_handoff: stay, description: Finds out what the caller wants}
  payments: {after_handoff: stay, description: Takes payments}
  accounts: {after_handoff: stay, description: Knows the accounts}
  concierge: {kind: livekit_agent, description: Knows the house}
  ears_triage: {agent_name: triage, after_handoff: stay, description: Listens}
  ears_payments: {agent_name: payments, after_handoff: stay, description: Listens as well}
entry_rules:
  - {when: "caller.number == '+15550177'", to: ears_triage}
routes:
  - {from: '*', to: concierge, splice: now, opening: greet}
  - {from: ears_triage, to: ears_payments, splice: now, opening: wait}
  - {from: ears_payments, to: ears_triage, splice: now, opening: wait}
  - {from: triage, to: payments, splice: now, opening: greet}
  - {from: payments, to: triage, splice: now, opening: 'say:welcome back'}
  - {from: triage, to: accounts, splice: now, opening: continue}
  - {from: accounts, to: triage, splice: now, opening: wait}
rules:
  - {on: digit, digit: '1', to: ears_triage, reason: A key was pressed}
  - {on: digit, digit: '2', to: ears_payments, reason: A key was pressed}
  - {on: digit, digit: '3', to: concierge, reason: A key was pressed}
# On a busy machine a process may stand still for longer than callers are patient.
timers: {holder_answer_ms: 4000}
"""


class Mixed:
    """One run."""

    def __init__(self, livekit: LocalServer, out: Path, handoffs: int, unheard_max: int) -> None:
        self.livekit = livekit
        self.out = out
        self.handoffs = handoffs
        self.programs: dict[str, Program] = {}
        self.judge = Judge(out, {name: Telling(out / f"{name}.log") for name in TONES}, unheard_max)
        self.stock: Stock
        self.stocked: dict[str, Any] = {}
        self.start = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self.start:7.2f} s  {what}", file=sys.stderr)

    async def run(self, stack: AsyncExitStack) -> None:
        await self.begin(stack)
        phone = Phone("+15550199")
        await phone.dial(self.livekit.url, self.livekit.api_key, self.livekit.api_secret, ROOM, ["baton"])
        self.say("the phone rings")
        try:
            await self.converse(phone)
            await asyncio.sleep(1.0)
        finally:
            await phone.hang_up()
            self.record(phone)

    async def turn(self, changes: int) -> dict[str, Any]:
        """The second call. Returns its report."""
        turning = Turning(self.out, self.judge.tellings, self.say)
        phone = Phone(SPEAKER)
        await phone.dial(self.livekit.url, self.livekit.api_key, self.livekit.api_secret, SPEAKERS_ROOM, ["baton"])
        self.say("the phone rings once more")
        failures = []
        try:
            await turning.run(phone, changes)
        except (AssertionError, TimeoutError) as error:
            failures.append(str(error) or "it took too long")
        finally:
            await phone.hang_up()
        report = turning.judged()
        report["failures"] += failures
        return report

    async def begin(self, stack: AsyncExitStack) -> None:
        config = self.out / "baton.yaml"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config.write_text(CONFIG.replace("OPERATORS_PORT", str(port)))
        keys = (self.livekit.api_key, self.livekit.api_secret)
        self.stock = Stock(self.out / f"{STOCK}.log", f"http://127.0.0.1:{port}", keys, ROOM)
        agents = os.environ.get("BATON_PYTHON_LIVEKIT_AGENTS") or str(ROOT / "target/venvs/livekit_agents/bin/python")
        pipecat = os.environ.get("BATON_PYTHON_PIPECAT") or str(ROOT / "target/venvs/pipecat/bin/python")
        baton = os.environ.get("BATON_PROGRAM") or str(ROOT / "target/debug/baton")
        spoken = str(Path(baton).parent / "examples/spoken")
        accounts = ["--agent-name", "accounts", "--tone", str(TONES["accounts"]), "--handoff-to", "triage", "--tells"]
        commands = {
            "baton": [baton, "start", "--config", str(config)],
            "triage": [agents, str(HERE / "with_livekit_agents/triage.py"), "start"],
            "payments": [pipecat, str(HERE / "with_pipecat/payments.py")],
            "accounts": [spoken, *accounts],
            STOCK: [agents, str(HERE / "with_livekit_agents/unmodified.py"), "start"],
        }
        for name, command in commands.items():
            log = self.out / f"{name}.log"
            log.write_text("")
            environment = {
                **self.livekit.environment,
                "PYTHONPATH": "" if name == STOCK else str(HERE.parent / "src"),
                "PYTHONUNBUFFERED": "1",
                # Where Baton has its journal.
                "STATE_DIRECTORY": str(self.out / "state"),
                "AGENT_HZ": str(STOCK_HZ if name == STOCK else TONES.get(name, 0)),
                "AGENT_EAR": "1",
                "AGENT_SENTENCES": json.dumps(LENGTHS),
            }
            if name == STOCK:
                environment["AGENT_CLIPS"] = json.dumps(STOCK_LENGTHS)
            self.programs[name] = program = Program(name, command, log, environment)
            await program.start()
            stack.push_async_callback(program.stop)
        await until("all are registered", lambda: self.livekit.log().count("worker registered") == 5, 90.0)
        self.say("baton, triage (LiveKit Agents), payments (Pipecat), accounts (Rust) and a stock concierge are registered")

    async def converse(self, phone: Phone) -> None:
        await self.comes("triage", 1)
        await self.answered("triage", 1)
        speaking = asyncio.create_task(self.speak(phone))
        try:
            for number in range(self.handoffs):
                to, opening = ROUND[number % len(ROUND)]
                await self.handoff(phone, to, opening)
            # What the last one owes: an opening may be to wait.
            await self.asks(phone, self.judge.holder, "who am i")
        finally:
            speaking.cancel()
        await asyncio.sleep(1.0)
        self.judge.last = STOCK
        self.stocked = await self.stock.comes_last(phone)
        self.judge.failures += self.stock.failures
        self.say(f"{STOCK} came last: {self.stocked}")

    async def handoff(self, phone: Phone, to: str, opening: str) -> None:
        holder = self.judge.holder
        said = self.judge.answers(to)
        if holder == "triage":
            await self.asks(phone, holder, "who am i")
            await self.asks(phone, holder, "handoff nowhere")
            if to == "payments":
                await self.is_interrupted(phone, holder)
        elif holder == "payments":
            await self.asks(phone, holder, "pay")
        asked = time.time()
        if holder != "accounts":
            # A sentence that the change cuts; accounts hands off by itself.
            await self.tells(phone, f"handoff {to} aloud")
        await self.comes(to, self.judge.grants(to) + 1)
        self.judge.handoffs.append(Handoff(holder, to, opening, asked))
        self.say(f"{len(self.judge.handoffs):3}. {holder} -> {to}, to {opening}")
        if opening != "wait":
            await self.answered(to, said + 1)
        else:
            # Time in which it could speak, and must not.
            await asyncio.sleep(1.0)

    async def asks(self, phone: Phone, holder: str, words: str) -> None:
        """Says something to who has the baton, and waits until it is answered with a tool's result."""
        before = self.judge.answers(holder)
        await self.tells(phone, words)
        await self.answered(holder, before + 1)

    async def is_interrupted(self, phone: Phone, holder: str) -> None:
        """Has a long answer begin, and interrupts it."""
        before = self.judge.answers(holder)
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self.tells(phone, "tell me " + "more and " * 8)
        await until(f"{holder} speaks", lambda: phone.hears_since(since) > 700, STEP_MAX_SECS)
        await self.tells(phone, "stop")
        await self.answered(holder, before + 1)

    async def tells(self, phone: Phone, words: str) -> None:
        await phone.room.local_participant.send_text(words, topic="test.says")

    async def answered(self, name: str, count: int) -> None:
        await until(f"{name} has answered {count} times", lambda: self.judge.answers(name) >= count, STEP_MAX_SECS)

    async def comes(self, name: str, times: int) -> None:
        await until(f"the baton comes to {name}", lambda: self.judge.grants(name) >= times, STEP_MAX_SECS)

    async def speak(self, phone: Phone) -> None:
        """The caller speaks all the while: words are tones, each of another pitch than the last ones."""
        said = []
        for hz in PITCHES:
            count = int(WORD_SECS * SAMPLE_RATE)
            edge = SAMPLE_RATE // 100
            level = [min(1.0, at / edge, (count - at) / edge) for at in range(count)]
            said.append([int(9_000 * level[at] * math.sin(2 * math.pi * hz * at / SAMPLE_RATE)) for at in range(count)])
        number = 0
        while True:
            number = (number + 5) % len(PITCHES)
            self.judge.words.append(Word(PITCHES[number], time.time()))
            phone.say(said[number])
            await asyncio.sleep(WORDS_APART_SECS)

    def record(self, phone: Phone) -> None:
        if not phone.samples:
            self.judge.failures.append("the caller heard nothing")
        if len(phone.samples) > 1:
            self.judge.failures.append(f"the caller heard more than the program track: {sorted(phone.samples)}")
        samples = max(phone.samples.values(), key=len, default=array("h"))
        with wave.open(str(self.out / "heard.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.tobytes())


async def main() -> int:
    parser = argparse.ArgumentParser(description="A call between LiveKit Agents, Pipecat and Rust.")
    parser.add_argument("--handoffs", type=int, default=8, help="changes of the baton")
    parser.add_argument(
        "--turns", type=int, default=2, help="changes of the baton that the caller speaks across, in a call of their own; 0 for none"
    )
    parser.add_argument(
        "--unheard-max", type=int, default=0, help="words of the caller that may be lost on a machine that stands still"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "target/demo-mixed", help="folder for all that it leaves")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        livekit = await stack.enter_async_context(server())
        mixed = Mixed(livekit, arguments.out, arguments.handoffs, arguments.unheard_max)
        try:
            await mixed.run(stack)
        except (AssertionError, TimeoutError) as error:
            mixed.judge.failures.append(str(error) or "it took too long")
        report = mixed.judge.judged() | {"stock": mixed.stocked}
        if arguments.turns and report["ok"]:
            report["turns"] = turns = await mixed.turn(arguments.turns)
            report["failures"] += turns["failures"]
            report["ok"] = not report["failures"]
    (arguments.out / "report.json").write_text(json.dumps(report, indent=2))
    show(report, arguments.out)
    return 0 if report["ok"] else 1


def show(report: dict[str, Any], out: Path) -> None:
    print(f"{report['handoffs']} handoffs: {' '.join(f'{name} {count}' for name, count in report['ways'].items())}")
    print(f"items: {report['items']}, by kind {report['kinds']}; {report['interrupted']} interrupted, {report['errors']} errors")
    print(f"sentences cut by a change, what was heard of them kept: {report['cut']}")
    print(f"steps compared: {report['steps']}; items differing {report['differing']}, missing {report['missing']}")
    print(f"own views compared: {report['own_views']}; differing {report['own_differing']}")
    print(f"openings as asked: {report['openings']} of {report['handoffs']}")
    print(f"answers without the baton: {report['without_baton']}; the model was asked {report['asked']} times")
    print(f"words of the caller: {report['words']}, unheard {report['unheard']}, heard by two {report['heard_by_two']}")
    print(f"state: {json.dumps(report['state'])}")
    if stock := report["stock"]:
        print(f"said by the stock agent, which came last: {stock['said']}, unknown to Baton {stock['unknown']}")
    if turns := report.get("turns"):
        print(
            f"sentences of the caller: {turns['sentences']}, answered once {turns['answered_once']}, across a change "
            f"{turns['across_a_change']}, right before one {turns['right_before_a_change']}; turns taken {turns['turns']}, their ends told by Silero and {turns['ended_by']}"
        )
    for failure in report["failures"]:
        print(f"FAIL {failure}")
    print(f"{out}/heard.wav  {out}/report.json")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
