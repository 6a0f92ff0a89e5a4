"""The caller speaks: real voice activity detection, and an ear that knows the committed clips."""

import asyncio
import json
import tempfile

from speech import PHONE_RATE, clip, spoken_secs
from stage import staged, until
from test_handoff import told, worker

CLIPS = {"I have a question": "triage-welcome.wav", "thank you": "triage-handoff.wav"}

def test_each_thing_that_the_caller_says_gets_exactly_one_answer() -> None:
    async def scenario() -> None:
        samples = {words: clip(name) for words, name in CLIPS.items()}
        lengths = {words: spoken_secs(each, PHONE_RATE) for words, each in samples.items()}
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage"]) as stage:
                triage = worker(stage, folder, AGENT_CLIPS=json.dumps(lengths))
                await triage.start()
                try:
                    await until(
                        "both are registered", lambda: stage.server.log().count("worker registered") == 2, 90.0
                    )
                    phone = await stage.dial()
                    await phone.hears(500)
                    await asyncio.sleep(2.0)
                    for words, each in samples.items():
                        phone.say(each)
                        await phone.said()
                        await until(f"{words!r} is answered", lambda words=words: answers(triage, words) == 1)
                        await asyncio.sleep(2.5)
                    assert [answers(triage, words) for words in samples] == [1, 1]
                    heard = [each["text"] for each in told(triage, "item") if each["role"] == "user"]
                    assert heard == list(samples)
                    await phone.hang_up()
                finally:
                    print(triage.log()[-4_000:])
                    await triage.stop()

    asyncio.run(scenario())


def answers(program: object, words: str) -> int:
    items = told(program, "item")  # type: ignore[arg-type]
    return sum(each["role"] == "assistant" and each["text"] == f"you said {words}" for each in items)
