"""Headless Chromium, driven by its DevTools protocol over a pipe: what a page shows, asks for and complains about."""

import base64
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

from lib import check
from lib.case import slowness

# What judges a page's accessibility. A development tool, fetched by npm where there is one.
AXE = "axe-core@4.10.3"
AXE_INTEGRITY = "sha512-Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="


def axe(case):
    """axe is the text of axe-core, of the version and with the checksum above, or None where npm cannot get it."""
    if shutil.which("npm") is None:
        return None
    done = subprocess.run(["npm", "pack", AXE, "--silent"], cwd=case.directory, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        return None
    package = case.directory / done.stdout.split()[-1]
    seen = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    check.equal(seen, AXE_INTEGRITY, f"checksum of {AXE}")
    with tarfile.open(package) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


class Chromium:
    """One browser with one page. It keeps what the console said (`complaints`) and every address that was asked for (`asked`).
    launch: what stands before it, such as what enters a network namespace."""

    def __init__(self, case, launch=()):
        program = shutil.which("chromium")
        if program is None:
            raise check.Skip("no chromium: apt-get install chromium")
        ours, theirs = os.pipe(), os.pipe()  # commands to it, and what it says

        def arrange():
            # It reads descriptor 3 and writes 4. Both ends are moved out of the way first.
            read, write = os.dup(ours[0]), os.dup(theirs[1])
            high_read, high_write = os.dup2(read, 60), os.dup2(write, 61)
            os.dup2(high_read, 3)
            os.dup2(high_write, 4)

        profile = case.directory / "profile"
        with open(case.directory / "chromium.log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*launch, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                 "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False, preexec_fn=arrange,
                env={**os.environ, "HOME": str(case.directory)})
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb", buffering=0)
        case.undo(self.close)
        self._numbers = itertools.count(1)
        self._answers, self._changed = {}, threading.Condition()
        self.complaints, self.asked = [], []
        self._session = None
        threading.Thread(target=self._listen, daemon=True).start()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(domain + ".enable")

    def _listen(self):
        held = b""
        while True:
            try:
                piece = self._from.read(1 << 20)
            except (OSError, ValueError):
                piece = b""
            if not piece:
                break
            held += piece
            *whole, held = held.split(b"\0")
            for text in whole:
                self._take(json.loads(text))

    def _take(self, said):
        with self._changed:
            method, facts = said.get("method"), said.get("params", {})
            if "id" in said:
                self._answers[said["id"]] = said
            elif method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in facts["args"]))
            elif method == "Runtime.exceptionThrown":
                details = facts["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            elif method == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
                self.complaints.append(facts["entry"]["text"] + " " + facts["entry"].get("url", ""))
            elif method == "Network.requestWillBeSent":
                self.asked.append(facts["request"]["url"])
            self._changed.notify_all()

    def _call(self, method, **facts):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": facts}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        with self._changed:
            check.true(self._changed.wait_for(lambda: number in self._answers, 30 * slowness()), f"chromium answers {method}")
            answer = self._answers.pop(number)
        check.true("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    def resize(self, width, height=900):
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefers(self, **features):
        """prefers sets media features, as prefers_color_scheme="dark"."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def scripts(self, on):
        self._call("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, address):
        self._call("Page.navigate", url=address)

    def says(self, expression):
        """says evaluates JavaScript, beside the page's policy."""
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        check.true("exceptionDetails" not in result, f"{expression[:200]}: {result.get('exceptionDetails')}")
        return result["result"].get("value")

    def wait(self, expression, what, seconds=15):
        return check.within(lambda: self.says(expression), what, seconds * slowness(), step=0.1)

    def press(self, key, code=None, text=None):
        facts = {"key": key, "code": code or key, **({"text": text} if text else {})}
        if key == "Tab":
            facts["windowsVirtualKeyCode"] = 9
        self._call("Input.dispatchKeyEvent", type="keyDown", **facts)
        self._call("Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in facts.items() if k != "text"})

    def files(self, selector, *paths):
        """files chooses them in a field for files, as a person does in the window that it opens."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def screenshot(self, path):
        """screenshot is of the whole page."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        image = self._call("Page.captureScreenshot", captureBeyondViewport=True,
                           clip={"x": 0, "y": 0, "width": self.says("innerWidth"), "scale": 1,
                                 "height": min(6000, self.says("document.documentElement.scrollHeight"))})
        Path(path).write_bytes(base64.b64decode(image["data"]))

    def close(self):
        self.process.kill()
        self.process.wait()
        self._to.close()
        self._from.close()
