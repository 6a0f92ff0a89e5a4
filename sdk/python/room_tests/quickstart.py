"""The quickstarts of docs/specialists-python.md, carried out as they are written: their files, their configuration, their commands.

What a reader has to bring is put in: services that follow a script, in place of the dots; a server's address and keys; a caller.

`python room_tests/quickstart.py` does it from nothing, in a folder and an environment of its own, with what the page has one install.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from stage import ROOT, server, until

from baton.kit.phone import Phone
from baton.kit.server import Program

PAGE = ROOT / "docs/specialists-python.md"
HERE = Path(__file__).parent
ROOM = "call-_+15550142_start"
INSTALL_MAX_SECS = 900.0


class Quickstart(NamedTuple):
    """One of the page's."""

    heading: str
    file: str
    name: str
    folder: str
    """Where its scripted services are."""
    extra: str
    services: tuple[str, str]
    """What stands for the reader's services, and what is put in its place."""
    imports: str


LIVEKIT_AGENTS = Quickstart(
    "LiveKit Agents",
    "billing.py",
    "billing",
    "with_livekit_agents",
    "livekit-agents",
    ("AgentSession(stt=..., llm=..., tts=..., vad=...)", "AgentSession(llm=ScriptedLLM(lambda _: 'hello, what can I do for you'), tts=ToneTTS(440))"),
    "from scripted import ScriptedLLM, ToneTTS",
)
PIPECAT = Quickstart(
    "Pipecat",
    "payments.py",
    "payments",
    "with_pipecat",
    "pipecat",
    ("stt, llm, tts = ..., ..., ...", "stt, llm, tts = Hearing(), ScriptedLLM(lambda _: 'hello, what can I do for you'), ToneTTS(440)"),
    "from scripted import Hearing, ScriptedLLM, ToneTTS",
)


def blocks(heading: str, language: str) -> list[str]:
    """The code of a section of the page, block by block."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    return ["".join(line.removeprefix(indent) for line in code.splitlines(keepends=True)) for indent, code in found]


def written(quickstart: Quickstart, folder: Path) -> None:
    """Writes the files of a quickstart, its services put in."""
    dots, services = quickstart.services
    code = blocks(quickstart.heading, "python")[0]
    assert code.count(dots) == 1, f"the page has {dots!r} not once"
    (folder / quickstart.file).write_text(f"{quickstart.imports}\n{code.replace(dots, services)}")
    config = blocks(LIVEKIT_AGENTS.heading, "yaml")[0]
    assert f"entry: {LIVEKIT_AGENTS.name}" in config
    more = "server: {health_bind: '127.0.0.1:0'}\n"
    (folder / "baton.yaml").write_text(config.replace(f"entry: {LIVEKIT_AGENTS.name}", f"entry: {quickstart.name}") + more)


async def carried_out(quickstart: Quickstart, python: str, command: list[str], paths: list[Path]) -> None:
    """Checks the configuration, starts Baton and the agent by `command`, calls, and hears the agent. `paths` are for the agent's modules."""
    baton = os.environ.get("BATON_PROGRAM") or str(ROOT / "target/debug/baton")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(quickstart, folder)
        config = ["--config", str(folder / "baton.yaml")]
        checked = subprocess.run([baton, "check", *config], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        async with server() as livekit:
            scripts = [HERE, HERE / quickstart.folder, *paths]
            environment = {**livekit.environment, "STATE_DIRECTORY": name, "PYTHONUNBUFFERED": "1"}
            orchestrator = Program("baton", [baton, "start", *config], folder / "baton.log", environment)
            environment["PYTHONPATH"] = os.pathsep.join(map(str, scripts))
            arguments = [str(folder / each) if each == quickstart.file else each for each in command]
            agent = Program(quickstart.name, [python, *arguments], folder / "agent.log", environment)
            await orchestrator.start()
            await agent.start()
            try:
                await until("both are registered", lambda: livekit.log().count("worker registered") == 2, 120.0)
                phone = Phone("+15550142")
                await phone.dial(livekit.url, livekit.api_key, livekit.api_secret, ROOM, ["baton"])
                await phone.hears(200)
                assert f'"specialist": "{quickstart.name}"' in orchestrator.log()
                await phone.hang_up()
            finally:
                print(agent.log()[-6_000:])
                await agent.stop()
                await orchestrator.stop()


def commands(quickstart: Quickstart) -> list[list[str]]:
    """How the page says that the agent is started, and how `lk agent start` and `lk agent dev` start one."""
    if quickstart is PIPECAT:
        return [[quickstart.file]]
    module = ["-m", "livekit.agents", "start", quickstart.file]
    return [[quickstart.file, "start"], [quickstart.file, "dev"], module, [*module, "--dev"]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Carries out the quickstarts of the page from nothing.")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that the environments are made with")
    python = parser.parse_args().python
    for quickstart in (LIVEKIT_AGENTS, PIPECAT):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python, "-m", "venv", folder], check=True, timeout=INSTALL_MAX_SECS)
            fresh = f"{folder}/bin/python"
            print(f"{quickstart.heading}: installing into a fresh environment", flush=True)
            package = f"./sdk/python[{quickstart.extra}]"
            subprocess.run([fresh, "-m", "pip", "install", "-q", package], check=True, timeout=INSTALL_MAX_SECS, cwd=ROOT)
            for command in commands(quickstart):
                asyncio.run(carried_out(quickstart, fresh, command, []))
                print(f"{quickstart.heading}: python {' '.join(command)}: called and heard", flush=True)
    # The threads of LiveKit's native library may call into an interpreter that is going down.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
