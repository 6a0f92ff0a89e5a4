"""What the adapters cost beside their frameworks alone: processor time for each item of a conversation and each frame of sound."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
FRAMEWORKS = {"livekit_agents": "LiveKit Agents", "pipecat": "Pipecat"}
LIMIT_SECS = 600


def measured(name: str, items: int, frames: int) -> list[dict[str, Any]]:
    """The lines of one framework, in its own environment."""
    python = os.environ.get(f"BATON_PYTHON_{name.upper()}") or str(ROOT / f"target/venvs/{name}/bin/python")
    made = subprocess.run(
        [python, str(HERE / f"with_{name}/bench.py"), str(items), str(frames)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECS,
    )
    if made.returncode:
        raise RuntimeError(f"the bench of {name} failed: {made.stderr[-2_000:]}")
    lines: list[dict[str, Any]] = json.loads(made.stdout)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="What the Python adapters cost beside their frameworks alone.")
    parser.add_argument("--items", type=int, default=400, help="items of a conversation in a round")
    parser.add_argument("--frames", type=int, default=500, help="frames of 10 ms in a round")
    parser.add_argument("--out", type=Path, default=ROOT / "target/bench/python.json")
    arguments = parser.parse_args()
    report = {name: measured(name, arguments.items, arguments.frames) for name in FRAMEWORKS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2))
    print(f"{'':<38}{'alone':>12}{'with Baton':>12}{'ratio':>8}   processor time, microseconds")
    for name, lines in report.items():
        for line in lines:
            what = f"{FRAMEWORKS[name]}, {line['what']}"
            print(f"{what:<38}{line['alone_us']:>12.1f}{line['with_us']:>12.1f}{line['ratio']:>8.2f}")
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
