"""The bench in its short form: it measures something of each, whatever that is."""

import asyncio

from bench import measured


def test_the_adapter_is_measured_beside_its_framework() -> None:
    lines = asyncio.run(measured(4, 10))
    assert [line["what"] for line in lines][:2] == ["item", "frame that is said"]
    for line in lines:
        assert line["alone_us"] > 0 and line["with_us"] > 0 and line["ratio"] > 0, line
