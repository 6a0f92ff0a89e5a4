"""A specialist by hand, which says in a tone what it is told to say. It is a good one, or breaks one of its duties: the one that
the operator's metadata names."""

import asyncio
import logging
import math
import sys
from array import array
from livekit import rtc
from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import ContextItem, Say
from baton.specialist import Agent, Call, Granting, Preparation, Specialist

CHAR_SECS = 0.05


def tone(words: str, rate: int) -> rtc.AudioFrame:
    count = int(len(words) * CHAR_SECS * rate)
    samples = array("h", (int(8_000 * math.sin(2 * math.pi * 500 * each / rate)) for each in range(count)))
    return rtc.AudioFrame(samples.tobytes(), rate, 1, count)


class Speaker(Agent):
    async def granted(self, call: Call, grant: Granting) -> None:
        if isinstance(grant.opening, Say):
            await self.say(call, grant.opening.text)

    async def say(self, call: Call, words: str) -> None:
        chat = pb.ChatContext.ChatItem()
        chat.message.id = f"item_{len(call.memory.items) + 1}"
        chat.message.role = pb.ASSISTANT
        chat.message.content.add(text=words)
        call.append(ContextItem(chat.message.id, None, chat.SerializeToString()))
        await call.voice.say(tone(words, call.voice.sample_rate))


def make(call: Call) -> Agent:
    from broken import broken

    fault = call.metadata.get("fault") if isinstance(call.metadata, dict) else None
    return Speaker() if fault is None else broken(call, fault)


async def main() -> None:
    from broken import break_joining

    break_joining()
    await Specialist("said", drain_grace_secs=0).run(make)


if __name__ == "__main__":
    # The broken ones are made of what is here.
    sys.modules["said"] = sys.modules["__main__"]
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main())
