"""The kit passes a specialist in Rust, by the command line that a team has in its CI."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stage import ROOT

from baton.kit.checks import CHECKS

LIMIT_SECS = 240.0


def test_a_specialist_in_rust_does_its_duties() -> None:
    baton = os.environ.get("BATON_PROGRAM") or str(ROOT / "target/debug/baton")
    agent = Path(baton).parent / "examples/spoken"
    assert agent.is_file(), f"{agent} is not built: `cargo build -p baton-specialist --example spoken`"
    server = os.environ.get("LIVEKIT_SERVER") or str(ROOT / "target/tools/livekit-server")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        kit = [sys.executable, "-m", "baton.kit", "--agent", "spoken", "--at-once", "4", "--json", str(report)]
        made = subprocess.run(
            [*kit, "--", str(agent), "--agent-name", "spoken"],
            env={**os.environ, "LIVEKIT_SERVER": server, "PYTHONPATH": str(ROOT / "sdk/python/src")},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECS,
        )
        assert made.returncode == 0, made.stdout + made.stderr[-3_000:]
        outcomes = json.loads(report.read_text())
        assert [each["check"] for each in outcomes] == list(CHECKS)
        assert all(each["passed"] for each in outcomes)
