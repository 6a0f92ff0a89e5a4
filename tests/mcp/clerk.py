"""The script of a model that helps in a live call: from what the tools have answered so far, the next call, or the last words.

It is given the results in their order, each as the tool's name and its JSON. Nothing of the call is known to it from elsewhere.
"""

COMPLAINT = "invoice"
"""What it listens for in what the caller says."""


def task(call):
    """What the agent is told to do."""
    return f"Listen to call {call}: if the caller has a complaint, note it in the state and hand over to who deals with it."


def call_in(text):
    """The call that a task is about."""
    return text.split("Listen to call ")[1].split(":")[0]


def next_step(call, results):
    """A tool and its arguments, or a text."""
    names = [name for name, _ in results]
    if not results:
        return "get_context", {"call": call}
    name, last = results[-1]
    if name == "get_context":
        return ("get_state", {"call": call}) if complaint(last) else "there is no complaint"
    if name == "get_state":
        said = complaint(dict(results)["get_context"])
        return "patch_state", {"call": call, "base_version": last["version"], "patch": {"complaint": said}}
    if name == "patch_state":
        return "request_handoff", {"call": call, "to": "billing", "reason": "a complaint", "wait_ms": 30000}
    if name == "request_handoff":
        return f"{last['holder']} has the call: {last['outcome']}"
    return f"what is to be done after {names}?"


def complaint(context):
    """What the caller has said of it."""
    for item in context["items"]:
        words = said_in(item)
        if COMPLAINT in words:
            return words
    return ""


def said_in(item):
    """The words of the caller's message, wherever the item has them."""
    item = item.get("item", item)
    if item.get("role") != "user":
        return ""
    content = item.get("content", "")
    parts = content if isinstance(content, list) else [content]
    return " ".join(part if isinstance(part, str) else part.get("text", "") for part in parts)
