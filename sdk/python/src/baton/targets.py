"""The functions that a model calls to hand the baton off, for good or for a task, for every framework the same."""

import json
from collections.abc import Mapping
from typing import Any

NAME = "handoff"
"""What it is called."""
DELEGATE = "delegate"
"""What the one is called that comes back with a result."""
COMPLETE = "complete_task"
"""What the one is called that ends a task with its result."""


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


def delegate_description(delegates: Mapping[str, str]) -> str:
    """What the model is told of delegating."""
    lines = [
        "Has another specialist do something with the caller, and gives its result when you have the caller back. Say in a few "
        "words what will happen before you call it, and nothing after.",
        "The specialists:",
    ]
    lines += [f"- {name}: {about}" if about else f"- {name}" for name, about in delegates.items()]
    return "\n".join(lines)


def delegate_parameters(delegates: Mapping[str, str]) -> dict[str, Any]:
    """Its parameters, as a JSON Schema."""
    return {
        "type": "object",
        "properties": {
            "to": {"type": "string", "enum": [*delegates], "description": "Which specialist"},
            "task": {"type": "string", "description": "What it is to do, with all that it has to know for that"},
        },
        "required": ["to", "task"],
        "additionalProperties": False,
    }


def complete_description() -> str:
    """What the model is told of ending a task."""
    return (
        "Ends the task that you were given: the caller goes back to whoever gave it, with the result. Call it when the task is "
        "done, or when it cannot be done, and say nothing after."
    )


def complete_parameters() -> dict[str, Any]:
    """Its parameters, as a JSON Schema."""
    return {
        "type": "object",
        "properties": {
            "result": {"type": "string", "description": "What came of it, for whoever gave the task"},
        },
        "required": ["result"],
        "additionalProperties": False,
    }


def task_text(task: Any, source: str | None) -> str:
    """What a model is told of a task that is delegated to it."""
    words = task if isinstance(task, str) else json.dumps(task, ensure_ascii=False)
    return (
        f"{source or 'Another specialist'} has handed you the caller for a task: {words}\n"
        f"Do this and nothing else, then call {COMPLETE} with the result."
    )


def taken_up(to: str) -> str:
    """What a call that delegates gives until the result is there."""
    return f"{to} takes it up"
