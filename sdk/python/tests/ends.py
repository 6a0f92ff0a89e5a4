"""The numbers by which the links of the tests run."""

from dataclasses import fields

from baton import CallId, LinkConfig, Side, StreamId


def config(side: Side, call: CallId, stream: StreamId) -> LinkConfig:
    """The defaults, with all times in whole milliseconds: they add up without rounding, and as they do in Rust."""
    usual = LinkConfig(side=side, call=call, stream=stream)
    values = {field.name: getattr(usual, field.name) for field in fields(usual)}
    in_ms = {name: round(value * 1_000) for name, value in values.items() if name.endswith("_secs")}
    return LinkConfig(**(values | in_ms))
