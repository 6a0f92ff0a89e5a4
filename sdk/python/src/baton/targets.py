"""The function that a model calls to hand the baton off, for every framework the same."""

from collections.abc import Mapping
from typing import Any

NAME = "handoff"
"""What it is called."""


def description(targets: Mapping[str, str], previous: bool) -> str:
    """What the model is told of it."""
    lines = [
        "Hands the caller over to another specialist, with all that was said. Call it when the caller wants something that "
        "another one does better. Say in a few words what will happen before you call it, and nothing after.",
        "The specialists:",
    ]
    lines += [f"- {name}: {about}" if about else f"- {name}" for name, about in targets.items()]
    if previous:
        lines.append("- previous: whoever spoke with the caller before you")
    return "\n".join(lines)


def parameters(targets: Mapping[str, str], previous: bool) -> dict[str, Any]:
    """Its parameters, as a JSON Schema."""
    names = [*targets, "previous"] if previous else [*targets]
    return {
        "type": "object",
        "properties": {
            "to": {"type": "string", "enum": names, "description": "Which specialist"},
            "reason": {"type": "string", "description": "Why, in a sentence, for the one who takes over"},
        },
        "required": ["to", "reason"],
        "additionalProperties": False,
    }
