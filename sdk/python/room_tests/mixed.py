"""A call between frameworks: triage of LiveKit Agents, payments of Pipecat, accounts in Rust; one caller, one shared state.

What each knows of the conversation is compared, item by item, with what the others know of it; what the caller heard is
judged by the probe. Models and voices follow a script.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import wave
from array import array
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from stage import ROOT, server, until
from telling import told

from baton.kit.phone import SAMPLE_RATE, Phone
from baton.kit.server import LocalServer, Program

HERE = Path(__file__).parent
TONES = {"triage": 400, "payments": 800, "accounts": 1_700}
ROOM = "call-_+15550199_mixed"
OVERLAP_MAX_MS = 100
"""How long two may be heard at a change: the crossfade has 60 ms."""
DISTORTION_MAX_MS = 20
"""On a busy machine packets come too late, and a tone that is patched sounds at other pitches for a window or two."""
STEP_MAX_SECS = 45.0
"""How long anything of the call may take."""
CONFIG = """# Written by the demo.
server: {health_bind: '127.0.0.1:0', drain_grace_secs: 0}
audio: {fade_ms: 60}
entry: triage
specialists:
  triage: {after_handoff: stay, description: Finds out what the caller wants}
  payments: {after_handoff: stay, description: Takes payments}
  accounts: {after_handoff: stay, description: Knows the accounts}
routes:
  - {from: '*', to: '*', splice: now}
# On a busy machine a process may stand still for longer than callers are patient.
timers: {holder_answer_ms: 4000}
"""


class Mixed:
    """One run."""

    def __init__(self, livekit: LocalServer, out: Path, rounds: int) -> None:
        self.livekit = livekit
        self.out = out
        self.rounds = rounds
        self.programs: dict[str, Program] = {}
        self.holders = ["triage"]
        self.failures: list[str] = []
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

    async def begin(self, stack: AsyncExitStack) -> None:
        config = self.out / "baton.yaml"
        config.write_text(CONFIG)
        debug = ROOT / "target/debug"
        agents = os.environ.get("BATON_PYTHON_LIVEKIT_AGENTS") or str(ROOT / "target/venvs/livekit_agents/bin/python")
        pipecat = os.environ.get("BATON_PYTHON_PIPECAT") or str(ROOT / "target/venvs/pipecat/bin/python")
        accounts = ["--name", "accounts", "--partner", "triage", "--tone-hz", str(TONES["accounts"])]
        accounts += ["--handoffs", "100000", "--tone-ms", "1200", "--speech-epochs", "1"]
        accounts += ["--clips", str(ROOT / "tests/clips")]
        commands = {
            "baton": [os.environ.get("BATON_PROGRAM") or str(debug / "baton"), "start", "--config", str(config)],
            "triage": [agents, str(HERE / "with_livekit_agents/triage.py"), "start"],
            "payments": [pipecat, str(HERE / "with_pipecat/payments.py")],
            "accounts": [os.environ.get("DEMO_PROGRAM") or str(debug / "demo"), "specialist", *accounts],
        }
        for name, command in commands.items():
            log = self.out / f"{name}.log"
            log.write_text("")
            environment = {
                **self.livekit.environment,
                "PYTHONPATH": str(HERE.parent / "src"),
                "PYTHONUNBUFFERED": "1",
                # Where Baton has its journal.
                "STATE_DIRECTORY": str(self.out / "state"),
                "AGENT_HZ": str(TONES.get(name, 0)),
            }
            self.programs[name] = program = Program(name, command, log, environment)
            await program.start()
            stack.push_async_callback(program.stop)
        await until("all are registered", lambda: self.livekit.log().count("worker registered") == 4, 90.0)
        self.say("baton, triage (LiveKit Agents), payments (Pipecat) and accounts (Rust) are registered")

    async def converse(self, phone: Phone) -> None:
        await phone.hears(500, STEP_MAX_SECS)
        for number in range(self.rounds):
            await self.words(phone, "triage", "who am i")
            await self.handoff(phone, "triage", "payments")
            await self.words(phone, "payments", "pay")
            await self.handoff(phone, "payments", "accounts")
            # It sounds for a while and hands back by itself.
            await self.comes("triage")
            self.holders.append("triage")
            self.say(f"round {number + 1}: triage has the baton again")
        await phone.hears(200, STEP_MAX_SECS)

    async def words(self, phone: Phone, holder: str, words: str) -> None:
        """Says something to who has the baton, and waits until it is answered with a tool's result."""
        before = self.outputs(holder)
        await asyncio.sleep(1.5)
        await phone.room.local_participant.send_text(words, topic="test.says")
        await until(f"{holder} has answered {words!r}", lambda: self.outputs(holder) > before, STEP_MAX_SECS)
        await asyncio.sleep(2.5)

    async def handoff(self, phone: Phone, holder: str, to: str) -> None:
        grants = self.grants()
        await phone.room.local_participant.send_text(f"handoff {to}", topic="test.says")
        await until(f"{to} has the baton", lambda: self.grants() > grants, STEP_MAX_SECS)
        self.holders.append(to)
        self.say(f"{holder} -> {to}")
        if to in ("triage", "payments"):
            await self.comes(to)

    async def comes(self, name: str) -> None:
        def holds() -> bool:
            contexts = self.contexts(name)
            return bool(contexts) and bool(contexts[-1]["holds"])

        await until(f"the baton comes to {name}", holds, STEP_MAX_SECS)

    def grants(self) -> int:
        return self.programs["baton"].log().count('"granted"')

    def contexts(self, name: str) -> list[dict[str, Any]]:
        return told(self.programs[name].log(), "context")

    def outputs(self, name: str) -> int:
        contexts = self.contexts(name)
        return sum(item["kind"] == "function_call_output" for item in contexts[-1]["items"]) if contexts else 0

    # The judgement.

    def judge(self) -> dict[str, Any]:
        seen = {name: self.contexts(name) for name in ("triage", "payments")}
        # Who wrote an item is who had it first: what an item is, in the words of everybody who has it.
        forms: dict[str, dict[str, dict[str, Any]]] = {}
        for name, contexts in seen.items():
            for item in contexts[-1]["items"] if contexts else []:
                forms.setdefault(item["id"], {})[name] = item
        differing = [id for id, of in forms.items() if any(each != next(iter(of.values())) for each in of.values())]
        for id in differing:
            self.failures.append(f"item {id} is not the same for all: {forms[id]}")
        last = {item["id"] for item in seen["triage"][-1]["items"]} if seen["triage"] else set()
        missing = [id for id in forms if id not in last]
        for id in missing:
            self.failures.append(f"item {id} is unknown to the last holder: {forms[id]}")
        state = seen["triage"][-1]["state"] if seen["triage"] else {}
        for field, value in {"name": "Ada", "verified": True, "paid_cents": 1250}.items():
            if state.get(field) != value:
                self.failures.append(f"the state's {field!r} is {state.get(field)!r} and not {value!r}")
        probe = self.probe()
        if self.holders.count("payments") != self.rounds:
            self.failures.append(f"the holders were {self.holders}")
        report = {
            "handoffs": len(self.holders) - 1,
            "holders": self.holders,
            "items": len(forms),
            "items_differing": len(differing),
            "items_missing": len(missing),
            "state": state,
            "probe": probe,
            "failures": self.failures,
            "ok": not self.failures,
        }
        (self.out / "report.json").write_text(json.dumps(report, indent=2))
        return report

    def probe(self) -> Any:
        program = os.environ.get("PROBE_PROGRAM") or str(ROOT / "target/debug/probe")
        tones = [part for name, hz in TONES.items() for part in ("--tone", f"{name}={hz}")]
        command = [program, str(self.out / "heard.wav"), *tones, "--holders", ",".join(self.holders), "--json"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=120)
        try:
            heard: dict[str, Any] = json.loads(made.stdout)[0]["heard"]
        except (ValueError, LookupError, TypeError):
            self.failures.append(f"the probe judges nothing: {(made.stdout + made.stderr)[-1_500:]}")
            return None
        # Silence is no fault here: they speak in sentences, and wait for the caller between them.
        leaks = [leak for leak in heard["leaks"] if leak["ms"] > DISTORTION_MAX_MS]
        if leaks:
            self.failures.append(f"somebody was heard out of turn: {leaks}")
        for change in heard["changes"]:
            if change["overlap_ms"] > OVERLAP_MAX_MS:
                self.failures.append(f"both were heard for {change['overlap_ms']} ms: {change}")
        return heard

    def record(self, phone: Phone) -> None:
        if not phone.samples:
            self.failures.append("the caller heard nothing")
        if len(phone.samples) > 1:
            self.failures.append(f"the caller heard more than the program track: {sorted(phone.samples)}")
        samples = max(phone.samples.values(), key=len, default=array("h"))
        with wave.open(str(self.out / "heard.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.tobytes())


async def main() -> int:
    parser = argparse.ArgumentParser(description="A call between LiveKit Agents, Pipecat and Rust.")
    parser.add_argument("--rounds", type=int, default=2, help="times that the baton goes round, three handoffs each")
    parser.add_argument("--out", type=Path, default=ROOT / "target/demo-mixed", help="folder for all that it leaves")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        livekit = await stack.enter_async_context(server())
        mixed = Mixed(livekit, arguments.out, arguments.rounds)
        try:
            await mixed.run(stack)
        except (AssertionError, TimeoutError) as error:
            mixed.failures.append(str(error) or "it took too long")
    report = mixed.judge()
    print(f"{report['handoffs']} handoffs: {' -> '.join(report['holders'])}")
    print(f"{report['items']} items, {report['items_differing']} differing, {report['items_missing']} missing")
    print(f"state: {json.dumps(report['state'])}")
    for failure in report["failures"]:
        print(f"FAIL {failure}")
    print(f"{arguments.out}/heard.wav  {arguments.out}/report.json")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
