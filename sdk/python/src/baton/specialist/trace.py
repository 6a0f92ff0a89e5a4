"""Joins what an agent traces to the trace of its call."""

from importlib import import_module


def join(traceparent: str | None) -> None:
    """Makes spans of the running task, and of tasks that it starts, part of the call's trace.

    `traceparent` is as the W3C's Trace Context has it. Without it, or without the package `opentelemetry-api`, nothing
    changes.
    """
    if traceparent is None:
        return
    try:
        context = import_module("opentelemetry.context")
        tracecontext = import_module("opentelemetry.trace.propagation.tracecontext")
    except ImportError:
        return
    propagator = tracecontext.TraceContextTextMapPropagator()
    context.attach(propagator.extract({"traceparent": traceparent}))
