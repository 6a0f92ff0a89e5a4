"""The call that every framework plays: forty minutes, sixty tool calls, some at once, images, interruptions, Unicode."""

import json
from dataclasses import dataclass, field

IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SAID = [
    "Good morning, this is Zoë Müller from 東京.",
    "My invoice is wrong, by 3 €.",
    "Could you \"look\" at it?\nAnd at the one before?",
    "שלום, do you see it? 🧾🎉",
    "Ich hätte gern eine Gutschrift.",
    "Thanks.\tThat is all for this one.",
]


@dataclass
class Call:
    id: str
    tool: str
    arguments: str


@dataclass
class Turn:
    number: int
    said: str
    answer: str
    calls: list[Call] = field(default_factory=list)
    afterwards: str = ""
    image: bool = False
    interrupted: bool = False


def turn(number: int) -> Turn:
    said = f"{SAID[number % len(SAID)]} ({number})"
    answer = Turn(number, said, f"Answer {number}: let me see what I can do for you, Zoë.")
    if number % 20 == 7:
        answer.image = True
    if number % 10 == 3:
        answer.interrupted = True
        answer.answer += " And another thing <interrupted>"
    elif number % 12 == 11:
        answer.calls = [Call(f"call_{number}_0", "hand_over", "{}")]
        answer.afterwards = f"You are with the other desk now ({number})."
    elif number % 2 == 0:
        for nth in range(1 + number // 2 % 3):
            name = ["look_up", "notify", "look_up"][nth]
            arguments = {"to": "nobody" if number % 16 == 4 else f"Zoë {number}"} if name == "notify" else {"number": number, "name": "Zoë \"M.\""}
            answer.calls.append(Call(f"call_{number}_{nth}", name, json.dumps(arguments)))
        answer.afterwards = f"I have looked it up ({number}): it is 12.50 €."
    return answer


TURNS = [turn(number) for number in range(60)]
