"""A real headless Chromium, driven by its DevTools protocol over a websocket.

Everything a page asks for, says on its console or lets fail is kept, so that a test can hold it against it.
"""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
_START_S = 60.0
_STEP_S = 0.05


def find_chromium() -> str | None:
    """Its program, if it is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page of a browser.

    Attributes:
        said: errors and warnings on its console, and exceptions.
        asked: the address of every request it made.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event)
                continue
            details = event.get("params", {})
            match event["method"]:
                case "Runtime.consoleAPICalled" if details["type"] in ("error", "warning", "assert"):
                    self.said.append(str([each.get("value") for each in details["args"]]))
                case "Runtime.exceptionThrown":
                    self.said.append(str(details["exceptionDetails"]))
                case "Log.entryAdded" if details["entry"]["level"] in ("error", "warning"):
                    self.said.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
                case "Network.requestWillBeSent":
                    self.asked.append(details["request"]["url"])

    async def send(self, method: str, **parameters: Any) -> Any:
        """Send a command; give its result."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        event = await answer
        if "error" in event:
            raise AssertionError(f"{method}: {event['error']}")
        return event["result"]

    async def open(self, address: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Go to an address."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.resize(width, height)
        await self.colours(dark=dark)
        await self.send("Page.navigate", url=address)

    async def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def colours(self, *, dark: bool = False, still: bool = False) -> None:
        """Choose what the system prefers: dark colours, reduced motion."""
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def value(self, script: str) -> Any:
        """What an expression gives in the page."""
        result = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def text(self, selector: str) -> str:
        """The text of an element."""
        return str(await self.value(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def wait_for(self, script: str, seconds: float = 30.0) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(seconds):
            while not await self.value(f"Boolean({script})"):
                await asyncio.sleep(_STEP_S)

    async def picture(self, file: Path, *, whole: bool = False) -> None:
        """Take a picture of what is shown, or of the whole page."""
        taken = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(taken["data"]))

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()
        self._listener.cancel()


class Chromium:
    """A browser of its own, with a directory of its own; ended by its process id."""

    def __init__(self, program: str, directory: Path) -> None:
        self._directory = directory
        self._log = (directory / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={directory / 'profile'}", "about:blank"],
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Its one page."""
        port = await self._port()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                target = next(each for each in await response.json() if each["type"] == "page")
            # Chromium answers no ping of ours, and a picture is megabytes.
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                try:
                    yield page
                finally:
                    await page.close()

    async def _port(self) -> int:
        """Where it listens, which it says in a file once it does."""
        file = self._directory / "profile" / "DevToolsActivePort"
        async with asyncio.timeout(_START_S):
            while not (file.exists() and file.read_text().count("\n")):
                assert self._process.poll() is None, (self._directory / "chromium.log").read_text()
                await asyncio.sleep(_STEP_S)
        return int(file.read_text().split("\n")[0])
