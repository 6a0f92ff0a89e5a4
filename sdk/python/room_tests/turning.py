"""The second call of the mixed demo: the caller speaks, and its turns are told by real analyzers, Silero and smart-turn.

It speaks to each of two, while the baton goes from one to the other, and right before it goes, so that no analyzer has told the end of
the turn yet. Each sentence has to get exactly one answer: by the one who has the baton at its end, or, if the baton went right then, by
either.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from speech import PHONE_RATE, sentence, spoken_secs
from stage import until
from telling import Telling

from baton.kit.phone import Phone

NUMBER = "+15550177"
ROOM = "call-_+15550177_mixed"
SENTENCES = {"here is billing": sentence("triage-handoff.wav", 1), "welcome to northwind": sentence("triage-welcome.wav", 0)}
LENGTHS = {words: spoken_secs(samples, PHONE_RATE) for words, samples in SENTENCES.items()}
ASIDE, ACROSS = SENTENCES
"""What is said in a turn of one, and what across a change."""
AGENTS = {"ears_triage": "triage", "ears_payments": "payments"}
ANSWER_MAX_SECS = 30.0
SETTLED_SECS = 3.0
"""How long a second answer is waited for: more than any analyzer takes."""
LEAD_SECS = 0.7
"""How long before a change the caller begins, if it takes as long as the last one: the analyzers of the one before have heard it begin."""
SENTENCES_FEW = 10
ANALYZERS_SECS = 0.6
"""How long any analyzer takes at least to tell that a turn is over."""
DIGITS = {"ears_triage": "1", "ears_payments": "2"}
"""By which a rule hands the baton to each: no model has to be asked in the middle of a sentence."""
USER, ASSISTANT = 2, 3


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of the caller's."""

    words: str
    begun: float
    ended: float
    listener: str
    """Who has the baton at its end."""
    answers: dict[str, int]
    """How many answers there are of each."""
    changed: float | None
    """When the baton moved; none if it was to stay."""

    @property
    def is_across(self) -> bool:
        """Whether the baton moved in it."""
        return self.changed is not None and self.begun < self.changed < self.ended

    @property
    def is_answered(self) -> bool:
        """Whether it got the answer that it has to get. One that had ended when the baton moved may be answered by the one who had it then."""
        answers = {name: count for name, count in self.answers.items() if count}
        if self.changed is not None and self.changed >= self.ended:
            return sum(answers.values()) == 1
        return answers == {self.listener: 1}

    @property
    def is_right_before(self) -> bool:
        """Whether it ended so shortly before the baton moved that no analyzer was that far."""
        return self.changed is not None and 0 <= self.changed - self.ended < ANALYZERS_SECS


class Turning:
    """The call."""

    def __init__(self, out: Path, tellings: dict[str, Telling], say: Any) -> None:
        self._out = out
        self._tellings = tellings
        self._say = say
        self._change_secs = dict.fromkeys(AGENTS, 0.0)
        self._first = len(self._granted())
        self._asked = {name: len(tellings[name].all("asked")) for name in AGENTS.values()}
        self.said: list[Said] = []

    async def run(self, phone: Phone, changes: int) -> None:
        """Has the caller speak, in each one's turn and across so many changes."""
        holder, other = AGENTS
        await until("the baton is there", lambda: len(self._granted()) > self._first, ANSWER_MAX_SECS)
        await asyncio.sleep(1.0)
        # Once there and back without a word, so that both are there and it is known how long a change takes.
        for name in (other, holder):
            asked = time.time()
            await self._asks_for(phone, name)
            await self._changed(name, asked)
            await asyncio.sleep(SETTLED_SECS)
        # The first one included a dispatch.
        self._change_secs = {name: min(secs, LEAD_SECS) for name, secs in self._change_secs.items()}
        for number in range(changes):
            await self._speaks(phone, ASIDE, holder)
            # Each way both there and back.
            for right_before in (number % 2 == 1, number % 2 == 0):
                await self._speaks(phone, ASIDE if right_before else ACROSS, other, holder, right_before)
                holder, other = other, holder
        await self._speaks(phone, ASIDE, holder)

    async def _speaks(
        self, phone: Phone, words: str, listener: str, before: str | None = None, right_before: bool = False
    ) -> None:
        had = self._answers()
        begun = asked = time.time()
        secs = len(SENTENCES[words]) / PHONE_RATE
        if before is None:
            phone.say(SENTENCES[words])
        elif right_before:
            phone.say(SENTENCES[words])
            await asyncio.sleep(secs - self._change_secs[listener] + ANALYZERS_SECS / 3)
            asked = time.time()
            await self._asks_for(phone, listener)
        else:
            wait = LEAD_SECS - self._change_secs[listener]
            if wait < 0:
                await self._asks_for(phone, listener)
                await asyncio.sleep(-wait)
            begun = time.time()
            phone.say(SENTENCES[words])
            if wait >= 0:
                await asyncio.sleep(wait)
                asked = time.time()
                await self._asks_for(phone, listener)
        await phone.said()
        ended = begun + secs
        changed = None if before is None else await self._changed(listener, asked)

        def new() -> dict[str, int]:
            now = self._answers()
            return {name: now[name] - had[name] for name in now}

        try:
            await until(f"{words!r} is answered", lambda: any(new().values()), ANSWER_MAX_SECS)
        except AssertionError:
            self._say(f"{words!r} is not answered")
        await asyncio.sleep(SETTLED_SECS)
        said = Said(words, begun, ended, listener, new(), changed)
        self.said.append(said)
        across = f", {secs:.2f} s long, the change {changed - begun:.2f} s after it began" if changed is not None else ""
        self._say(f"{words!r}, to {listener}{across}: answers {said.answers}")

    async def _asks_for(self, phone: Phone, listener: str) -> None:
        digit = DIGITS[listener]
        await phone.room.local_participant.publish_dtmf(code=int(digit), digit=digit)

    async def _changed(self, listener: str, asked: float) -> float:
        """When the baton has come to somebody for whom it was asked then."""
        await until(f"the baton comes to {listener}", lambda: self._granted()[-1] > asked, ANSWER_MAX_SECS)
        changed = self._granted()[-1]
        self._change_secs[listener] = changed - asked
        return changed

    def judged(self) -> dict[str, Any]:
        """The report."""
        failures = [f"no single answer of who has the baton: {each}" for each in self.said if not each.is_answered]
        across = [each for each in self.said if each.is_across]
        right_before = [each for each in self.said if each.is_right_before]
        turns = sum(len(self._turns(name)) for name in AGENTS.values())
        # On a busy machine a change is late.
        if not right_before and len(self.said) > SENTENCES_FEW:
            failures.append("no sentence has ended right before a change, so that nothing is known of it")
        if not across:
            failures.append("the caller has not spoken across a change, so that nothing is known of it")
        for name, first in self._asked.items():
            without = [each for each in self._tellings[name].all("asked")[first:] if not all(each["holds"])]
            failures += [f"a model was asked without the baton: {each}" for each in without[:3]]
        ends = [each["by"] for each in self._tellings["payments"].all("turn") if each["hears"]]
        return {
            "sentences": len(self.said),
            "answered_once": sum(sum(each.answers.values()) == 1 for each in self.said),
            "across_a_change": len(across),
            "right_before_a_change": len(right_before),
            "turns": turns,
            "ended_by": sorted(set(ends)),
            "failures": failures,
        }

    def _answers(self) -> dict[str, int]:
        return {
            ears: sum(item["text"][0].startswith("you said ") for item in self._own(name, ASSISTANT) if item["text"])
            for ears, name in AGENTS.items()
        }

    def _turns(self, name: str) -> list[str]:
        return [item["text"][0] for item in self._own(name, USER) if item["text"]]

    def _own(self, name: str, role: int) -> list[dict[str, Any]]:
        items: dict[str, dict[str, Any]] = {}
        for context in self._tellings[name].all("context"):
            if context["specialist"] in AGENTS:
                items |= {item["id"]: item for item in context["changed"] if item["own"] and item.get("role") == role}
        return list(items.values())

    def _granted(self) -> list[float]:
        """When Baton has granted the baton."""
        times = []
        for line in (self._out / "baton.log").read_text().splitlines():
            if '"message": "granted"' in line:
                times.append(datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp())
        return times
