"""What the checks came to."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from baton.kit.checks import CHECKS, Failed, Target, trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check came to."""

    check: str
    duty: str
    """What the specialist has to do."""
    passed: bool
    detail: str
    """What was wrong; empty if nothing."""
    secs: float
    """How long it took."""


async def check(target: Target, name: str) -> Outcome:
    """Carries out one check."""
    start = time.monotonic()
    duty = (CHECKS[name].__doc__ or "").strip()
    detail = ""
    try:
        async with trial(target, f"kit-{name}-{secrets.token_hex(4)}") as call:
            await CHECKS[name](call)
    except Failed as error:
        detail = str(error)
    return Outcome(name, duty, not detail, detail, round(time.monotonic() - start, 1))


async def check_all(target: Target, names: Iterable[str], at_once: int) -> list[Outcome]:
    """Carries out checks, so many at a time, in calls of their own."""
    turn = asyncio.Semaphore(at_once)

    async def one(name: str) -> Outcome:
        async with turn:
            return await check(target, name)

    return list(await asyncio.gather(*(one(name) for name in names)))


def table(outcomes: Iterable[Outcome]) -> str:
    """For people."""
    outcomes = list(outcomes)
    width = max((len(each.check) for each in outcomes), default=0)
    lines = []
    for each in outcomes:
        mark = "ok  " if each.passed else "FAIL"
        lines.append(f"{mark} {each.check:<{width}}  {each.duty} ({each.secs:g} s)")
        if each.detail:
            lines.append(f"     {'':<{width}}  {each.detail}")
    failed = sum(not each.passed for each in outcomes)
    lines.append(f"{len(outcomes) - failed} passed, {failed} failed")
    return "\n".join(lines)


def document(outcomes: Iterable[Outcome]) -> str:
    """For programs."""
    return json.dumps([asdict(each) for each in outcomes], indent=2)
