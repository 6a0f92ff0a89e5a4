"""The live page in a real browser: every view and button on a real call. What is not as it should be ends the program.

Takes one JSON object as its argument: `chromium` (the program), `url`, `token`, `out` (a folder for screenshots), `words` (what was said in the
call), `specialists` (the holder, and to whom the call goes).
"""

import asyncio
import base64
import json
import math
import re
import struct
import sys
import tempfile
import wave
from pathlib import Path

from websockets.asyncio.client import connect

PATIENCE = 30


class Browser:
    """A page of a headless Chromium, over its DevTools protocol."""

    def __init__(self, socket):
        self.socket, self.number, self.waiting, self.session, self.wrong = socket, 0, {}, None, []

    async def listen(self):
        async for message in self.socket:
            message = json.loads(message)
            if message.get("id") in self.waiting:
                self.waiting.pop(message["id"]).set_result(message)
            elif message.get("method") == "Runtime.exceptionThrown":
                self.wrong.append(message["params"]["exceptionDetails"])
            elif message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                # That the call's rules refuse something is asked for below, and a call may end while it is asked about; the browser notes each.
                refusal = entry["source"] == "network" and re.search(r"/(escalate|accept|handoffs|timeline|context|state|levels)", entry.get("url", ""))
                if entry["level"] == "error" and not refusal:
                    self.wrong.append(entry)
            elif message.get("method") == "Page.javascriptDialogOpening":
                asyncio.ensure_future(self.send("Page.handleJavaScriptDialog", accept=True))

    async def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        answered = self.waiting[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps(message))
        answer = await asyncio.wait_for(answered, PATIENCE)
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        return answer["result"]

    async def run(self, script):
        result = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, script, what):
        for _ in range(PATIENCE * 10):
            # The page may not be there yet.
            if await self.run(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"):
                return
            await asyncio.sleep(0.1)
        shown = await self.run("document.body.innerText")
        raise SystemExit(f"not as it should be: {what}\n{shown}\n{self.wrong}")

    async def click(self, id):
        await self.until(f"!document.getElementById({id!r}).disabled", f"{id} can be pressed")
        await self.run(f"document.getElementById({id!r}).click()")

    async def key(self, key):
        for kind in ["keyDown", "keyUp"]:
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    async def says(self, text):
        await self.until(f"document.getElementById('answer').textContent.includes({text!r})", f"the page says {text!r}")

    async def shoot(self, out, name, width, height, scheme):
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await asyncio.sleep(0.4)
        over = await self.run("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            raise SystemExit(f"at {width} pixels the page is {over} pixels too wide")
        picture = await self.send("Page.captureScreenshot", format="png")
        (Path(out) / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


def recording(path, seconds=8):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", int(3000 * math.sin(n / 4))) for n in range(8000 * seconds)))


async def live(page, given):
    holder, other = given["specialists"]
    await page.until("!document.getElementById('main').hidden", "the token opens the page")
    await page.until("document.querySelectorAll('#calls li').length === 1", "the call is a row")
    await page.until(f"document.querySelector('#facts').textContent.includes({holder!r})", f"{holder} has the baton")
    await page.until("document.querySelectorAll('#timeline .bar').length > 0", "the timeline has a bar")
    await page.until("document.querySelectorAll('#timeline .talk').length > 0", "the timeline shows who speaks")
    loud = f"[...document.querySelectorAll('#timeline .level')].some((bar) => bar.dataset.who === {holder!r} && Number(bar.getAttribute('width')) > 10)"
    await page.until(loud, "a bar shows how loud the holder is")
    await page.until(f"document.getElementById('context').textContent.includes({given['words']!r})", "what was said is shown")

    await page.run(f"document.getElementById('to').value = {other!r}")
    await page.click("handoff")
    await page.says(f"{other} has the baton")
    await page.until(f"document.querySelector('#calls .chip').textContent === {other!r}", "the row follows")
    await page.click("handoff")
    await page.says("already_holder")
    await page.run(f"document.getElementById('to').value = {other[:-1]!r}")
    await page.click("handoff")
    await page.says("did you mean")
    await page.run("document.activeElement.blur()")
    await page.key("h")
    await page.says("The caller is on hold")
    await page.until("document.querySelector('#calls .chip').textContent === 'on hold'", "the row says so")
    await page.until("document.querySelectorAll('#timeline .held').length > 0", "the timeline shows the hold")
    await asyncio.sleep(1.5)
    await page.key("h")
    await page.says(f"{other} has the baton")
    await page.click("escalate")
    await page.says("names nobody to escalate to")
    await page.until("document.querySelectorAll('#timeline .over').length > 0", "the timeline shows the overlap")
    await page.shoot(given["out"], "live-1280", 1280, 900, "light")
    await page.shoot(given["out"], "live-1280-dark", 1280, 900, "dark")
    await page.shoot(given["out"], "live-390", 390, 844, "light")
    await page.shoot(given["out"], "live-2560", 2560, 1300, "light")
    await page.click("end")
    await page.until("document.querySelectorAll('#calls li').length === 0", "the call is over")


async def to_a_person(page, given):
    holder, person = given["specialists"][0], given["person"]
    await page.until("!document.getElementById('main').hidden", "the token opens the page")
    await page.until(f"document.querySelector('#facts').textContent.includes({holder!r})", f"{holder} has the baton")
    for id in ["accept", "decline", "hand-back"]:
        await page.until(f"document.getElementById({id!r}).hidden", f"{id} is not offered")
    await page.click("escalate")
    await page.until("!document.getElementById('accept').hidden", "somebody is rung")
    await page.until(f"document.getElementById('accept').textContent.includes({person!r})", "it says who")
    # It is refused until the person is there.
    for _ in range(PATIENCE * 2):
        await page.click("accept")
        await asyncio.sleep(0.5)
        if await page.run("document.getElementById('accept').hidden"):
            break
    await page.until(f"document.querySelector('#calls .chip').textContent === {person!r}", f"{person} has the call")
    await page.until("!document.getElementById('hand-back').hidden", "it can be had give the call back")
    await page.shoot(given["out"], "person-390", 390, 844, "light")
    # The person is heard meanwhile.
    await asyncio.sleep(3)
    await page.click("hand-back")
    await page.says(f"{holder} has the baton")
    await page.until("document.getElementById('hand-back').hidden", "nobody is left who could")


async def past(page, given):
    for _ in range(PATIENCE):
        await page.click("past")
        await asyncio.sleep(1)
        if await page.run("document.querySelectorAll('#calls li').length") == 1:
            break
    await page.run("document.getElementById('calls').focus()")
    await page.key("j")
    await page.until("document.querySelectorAll('#timeline .bar').length >= 3", "the past call has its timeline")
    await page.until(f"document.getElementById('context').textContent.includes({given['words']!r})", "what was said is there")
    await page.until("document.getElementById('vcon').href.startsWith('blob:')", "the vCon can be taken")
    await page.click("play")
    await page.until("Number(document.getElementById('at').value) > 1", "it replays")
    await page.click("play")
    with tempfile.NamedTemporaryFile(suffix=".wav") as sound:
        recording(sound.name)
        document = await page.send("DOM.getDocument")
        node = await page.send("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#wav")
        await page.send("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[sound.name])
        await page.until("document.getElementById('sound').duration > 7", "the recording is read")
        await page.run("document.getElementById('sound').currentTime = 2")
        await page.until("Math.abs(Number(document.getElementById('at').value) - 2) < 0.2", "the cursor follows the recording")
    await page.shoot(given["out"], "past-1280", 1280, 900, "light")
    await page.shoot(given["out"], "past-390", 390, 844, "dark")


async def main():
    given = json.loads(sys.argv[1])
    Path(given["out"]).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        chromium = await asyncio.create_subprocess_exec(
            given["chromium"], "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars",
            "--no-first-run", "--mute-audio", "--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank",
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL)
        try:
            async def address():
                while line := (await chromium.stderr.readline()).decode(errors="replace"):
                    if found := re.search(r"ws://\S+", line):
                        return found[0]
                raise SystemExit("chromium does not start")

            async with connect(await asyncio.wait_for(address(), PATIENCE), max_size=None) as socket:
                page = Browser(socket)
                listening = asyncio.ensure_future(page.listen())
                target = await page.send("Target.createTarget", url="about:blank")
                attached = await page.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
                page.session = attached["sessionId"]
                for domain in ["Page", "Runtime", "Log", "DOM"]:
                    await page.send(f"{domain}.enable")
                await page.send("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
                await page.send("Page.navigate", url=f"{given['url']}/#token={given['token']}")
                if "person" in given:
                    await to_a_person(page, given)
                else:
                    await live(page, given)
                    await past(page, given)
                if page.wrong:
                    raise SystemExit(f"the console is not clean: {json.dumps(page.wrong)[:2000]}")
                listening.cancel()
        finally:
            chromium.terminate()
            await asyncio.wait_for(chromium.wait(), PATIENCE)
    print("as it should be")


asyncio.run(main())
