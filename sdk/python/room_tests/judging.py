"""Whether a call between frameworks was as it should be: from what each agent told of what it knows, and from what the caller
heard."""

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stage import ROOT
from telling import ALOUD, Telling, described

TONES = {"triage": 400, "payments": 800, "accounts": 1_700}
STOCK_HZ = 2_500
"""Of one that comes last and knows nothing of Baton."""
ASSISTANT = 3
USER = 2
OVERLAP_MAX_MS = 100
"""How long two may be heard at a change: the crossfade has 60 ms."""
DISTORTION_MAX_MS = 20
"""On a busy machine packets come too late, and a tone that is patched sounds at other pitches for a window or two."""
WORD_LATE_SECS = 3.0
"""How late a word may be heard: a busy machine's queues."""
WORD_MIN_MS = 120.0
"""A word that was heard; it lasts 200 ms, and its edges are soft."""
PITCHES = [500 * 1.13**step for step in range(12)]
"""Of the caller's words."""
PITCH_PART = 0.05
"""How far a pitch may be off."""
PRIVATE = "agent_config_update"
"""Instructions, which do not go along."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """Something that the caller has said: a tone."""

    hz: float
    at: float


@dataclass(frozen=True, slots=True)
class Handoff:
    """A change of the baton, as the script wanted it."""

    source: str
    to: str
    opening: str
    asked: float


@dataclass(slots=True)
class Hold:
    """A time in which one had the baton, as that one tells."""

    name: str
    begun: float
    new: list[Item] = field(default_factory=list)
    """What came into its conversation meanwhile, with what it had before."""
    known: dict[str, Item] = field(default_factory=dict)
    """All that it knew in the end, its tail included."""


class Judge:
    """What is known of a run."""

    def __init__(self, out: Path, tellings: dict[str, Telling], unheard_max: int = 0) -> None:
        self.handoffs: list[Handoff] = []
        self.words: list[Word] = []
        self.failures: list[str] = []
        self.tellings = tellings
        """What each agent says about itself."""
        self.last: str | None = None
        """Who had the baton after all of these."""
        self._out = out
        self._unheard_max = unheard_max
        self._read: dict[str, int] = dict.fromkeys(tellings, 0)
        self._answers: dict[str, int] = dict.fromkeys(tellings, 0)
        self._grants: dict[str, int] = dict.fromkeys(tellings, 0)
        self._held: dict[str, bool] = dict.fromkeys(tellings, False)
        self._ids: dict[str, set[str]] = {name: set() for name in tellings}

    @property
    def holder(self) -> str:
        """Who has the baton, if all went as the script wants."""
        return self.handoffs[-1].to if self.handoffs else "triage"

    def grants(self, name: str) -> int:
        """How often it has told that the baton is there."""
        self._look(name)
        return self._grants[name]

    def answers(self, name: str) -> int:
        """How many answers it has given."""
        self._look(name)
        return self._answers[name]

    def _look(self, name: str) -> None:
        contexts = self.tellings[name].all("context")
        for context in contexts[self._read[name] :]:
            for item in changed(context):
                if item["id"] not in self._ids[name] and item["own"] and item.get("role") == ASSISTANT:
                    self._answers[name] += 1
                self._ids[name].add(item["id"])
            self._grants[name] += context["holds"] and not self._held[name]
            self._held[name] = context["holds"]
        self._read[name] = len(contexts)

    # The judgement.

    def judged(self) -> dict[str, Any]:
        """The report."""
        holds = self._holds()
        items = {id: item for hold in holds for id, item in hold.known.items()}
        steps, differing, missing = self._compared(holds)
        own = [each for name in self.tellings for each in self.tellings[name].all("own")]
        own_differing = [difference for each in own for difference in each["differs"]]
        self.failures += [f"a framework has it otherwise: {each}" for each in own_differing[:5]]
        if not own:
            self.failures.append("no framework was asked what it has")
        openings = sum(self._opened(hold, handoff) for hold, handoff in zip(holds[1:], self.handoffs, strict=False))
        cut = self._cut(items)
        asked = [each for name in self.tellings for each in self.tellings[name].all("asked")]
        without = [each for each in asked if not all(each["holds"])]
        self.failures += [f"a model was asked without the baton: {each}" for each in without[:5]]
        unheard, twice = self._heard()
        if [hold.name for hold in holds] != ["triage", *(each.to for each in self.handoffs)]:
            self.failures.append(f"the holders were {[hold.name for hold in holds]}")
        state = holds[-1].known and self.tellings[holds[-1].name].all("context")[-1]["state"]
        self._check_state(state)
        return {
            "handoffs": len(self.handoffs),
            "ways": Counter(f"{each.source}>{each.to}" for each in self.handoffs),
            "items": len(items),
            "kinds": Counter(item["kind"] for item in items.values()),
            "interrupted": sum(item.get("interrupted", False) for item in items.values()),
            "errors": sum(item.get("is_error", False) for item in items.values()),
            "cut": cut,
            "steps": steps,
            "differing": differing,
            "missing": missing,
            "own_views": len(own),
            "own_differing": len(own_differing),
            "openings": openings,
            "asked": len(asked),
            "without_baton": len(without),
            "words": len(self.words),
            "unheard": unheard,
            "heard_by_two": twice,
            "state": state,
            "probe": self._probe(holds),
            "failures": self.failures,
            "ok": not self.failures,
        }

    def _holds(self) -> list[Hold]:
        holds: list[Hold] = []
        for name, telling in self.tellings.items():
            hold: Hold | None = None
            known: dict[str, Item] = {}
            held = False
            for context in telling.all("context"):
                new = changed(context)
                known = known | {item["id"]: item for item in new}
                if context["holds"] and not held:
                    hold = Hold(name, context["at"])
                    holds.append(hold)
                held = context["holds"]
                if hold is not None:
                    # Without the baton what is its own is its tail; what is not comes for its next turn.
                    tail = new if held else [item for item in new if item["own"]]
                    hold.new += tail
                    hold.known = (hold.known or known) | {item["id"]: item for item in tail}
        return sorted(holds, key=lambda hold: hold.begun)

    def _compared(self, holds: list[Hold]) -> tuple[int, int, int]:
        """Whether each holder has what the one before it had, item by item, and all that there ever was in the end."""
        steps, differing, missing = 0, 0, 0
        for before, after in zip(holds, holds[1:], strict=False):
            steps += 1
            for id, item in before.known.items():
                if item["kind"] == PRIVATE:
                    continue
                other = after.known.get(id)
                if other is None:
                    missing += 1
                    self.failures.append(f"{after.name} does not know what {before.name} knew: {item}")
                elif bare(other) != bare(item) and not self._replaced_later(holds, after, id, other):
                    differing += 1
                    self.failures.append(f"{after.name} has {other} and {before.name} {item}")
        return steps, differing, missing

    def _replaced_later(self, holds: list[Hold], after: Hold, id: str, form: Item) -> bool:
        """Whether it was replaced after the one before had lost the baton: then its own last look is older."""
        later = [hold.known[id] for hold in holds if hold.begun > after.begun and id in hold.known]
        return any(bare(each) == bare(form) for each in later)

    def _cut(self, items: dict[str, Item]) -> int:
        """How many sentences were cut by a change, of which the conversation has what was heard."""
        cut = 0
        for whole in ALOUD.values():
            said = [" ".join(item["text"]) for item in items.values() if item.get("role") == ASSISTANT]
            begun = [text for text in said if text and whole.startswith(text)]
            cut += sum(text != whole for text in begun)
        if not cut:
            self.failures.append("no sentence was cut by a change, so that nothing is known of what stays of one")
        return cut

    def _opened(self, hold: Hold, handoff: Handoff) -> bool:
        """Whether the first of its own words are those that it was to open with."""
        messages = [item for item in hold.new if item["kind"] == "message"]
        first = next((at for at, item in enumerate(messages) if item["own"] and item["role"] == ASSISTANT), None)
        words = "" if first is None else "\n".join(messages[first]["text"])
        match handoff.opening:
            case "say":
                fine = words == "welcome back"
            case "greet":
                fine = words == f"hello, this is {hold.name}"
            case "continue":
                fine = words == "the balance is not known now"
            case _:
                asked = next((at for at, item in enumerate(messages) if item["own"] and item["role"] == USER), None)
                fine = first is None or (asked is not None and asked < first)
        if not fine:
            self.failures.append(f"{hold.name} was to open by {handoff.opening!r} and said {words!r}")
        return fine

    def _heard(self) -> tuple[int, int]:
        """How many of the caller's words nobody has heard whole, and how many more than one has."""
        heard = [
            (each["at"], each["hz"], name)
            for name, telling in self.tellings.items()
            for each in telling.all("word")
            if each["ms"] >= WORD_MIN_MS
        ]
        unheard, twice = [], 0
        for word in self.words[:-1]:
            by = {
                name
                for at, hz, name in heard
                if 0 <= at - word.at <= WORD_LATE_SECS and abs(hz / word.hz - 1) < PITCH_PART
            }
            if not by:
                unheard.append(word)
            twice += len(by) > 1
        if len(unheard) > self._unheard_max:
            self.failures += [f"nobody has heard the caller's word {word}" for word in unheard[:5]]
        if not self.words:
            self.failures.append("the caller has said nothing")
        return len(unheard), twice

    def _check_state(self, state: Any) -> None:
        wanted: dict[str, Any] = {"name": "Ada", "verified": True}
        if any(each.to == "payments" for each in self.handoffs):
            wanted["paid_cents"] = 1250
        if any(each.source == "accounts" for each in self.handoffs):
            wanted["ledger"] = "closed"
        for name, value in wanted.items():
            if state.get(name) != value:
                self.failures.append(f"the state's {name!r} is {state.get(name)!r} and not {value!r}")

    def _probe(self, holds: list[Hold]) -> Any:
        baton = os.environ.get("BATON_PROGRAM") or str(ROOT / "target/debug/baton")
        program = os.environ.get("PROBE_PROGRAM") or str(Path(baton).parent / "probe")
        tones = [part for name, hz in TONES.items() for part in ("--tone", f"{name}={hz}")]
        names = ",".join(hold.name for hold in holds)
        if self.last is not None:
            tones += ["--tone", f"{self.last}={STOCK_HZ}"]
            names += f",{self.last}"
        command = [program, str(self._out / "heard.wav"), *tones, "--holders", names, "--json"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=300)
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


def bare(item: Item) -> Item:
    """An item without who tells of it."""
    return {key: value for key, value in item.items() if key != "own"}


def changed(context: dict[str, Any]) -> list[Item]:
    """The items of a telling; those that are not in Python tell their bytes."""
    if "encoded" not in context:
        return list(context["changed"])
    items = [described(bytes.fromhex(each)) for each in context["encoded"]]
    return [item | {"own": item["id"].startswith("accounts_")} for item in items]
