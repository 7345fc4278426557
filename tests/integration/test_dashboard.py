"""The dashboard in a process of its own, on a real Kafka, and its page in a real Chromium.

What the ledger's processes would write is written by the test: measures at an even pace, decisions that both
parties signed, evidence of the gallery.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from deploy.local.stack import LocalStack
from protocol.configuration import Epochs
from schemas.topics import DECISIONS, EVIDENCE, METRICS, topic_table
from storage.effects import Outgoing
from streams.clock import now_ms
from streams.kafka_admin import KafkaAdmin
from streams.kafka_log import KafkaLogWriter
from streams.log import publish
from streams.role_directory import RoleConfiguration
from tests.chromium import Chromium, Page, find_chromium
from tests.gallery import GALLERY
from tests.measures import REQUESTS_PER_S, MeasuredLine
from tests.worlds import World

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from streams.dashboard.process import run_dashboard
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal

stop = StopSignal()
stop.on_signals()
run_dashboard(RoleConfiguration.load(Path(sys.argv[1])), 0, stop, lambda address: print(address, flush=True))
print("ended")
"""
DRAWN = "document.body?.dataset.drawn"

needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium on this machine: `make browser` installs it where it may"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A running dashboard."""

    process: subprocess.Popen[str]
    address: str


class Pipeline:
    """Writes what the processes of a pipeline would, from a thread: one second of measures after another."""

    def __init__(self, configuration: RoleConfiguration, world: World) -> None:
        self.line = MeasuredLine()
        self._world = world
        self._writer = KafkaLogWriter(configuration.connection())
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Pipeline":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.close()

    def write(self, topic: str, *values: bytes) -> None:
        """Write messages."""
        with self._lock:
            assert publish(self._writer, [Outgoing(topic, 0, None, value) for value in values], lambda: False)

    def _run(self) -> None:
        second_ms = now_ms()
        while not self._stop.is_set():  # where the machine is busy it comes late, and says of which second it speaks
            self._world.now_ms = second_ms
            decision = self._world.decide(self._world.put("a", 1), self._world.put("b", 2))
            self.write(DECISIONS, decision.to_message())
            self.write(METRICS, *(metrics.to_message() for metrics in self.line.say(second_ms)))
            second_ms += 1_000
            self._stop.wait(max(0, second_ms - now_ms()) / 1000)


def make_role(stack: LocalStack, name: str, epochs: Epochs, directory: Path) -> RoleConfiguration:
    """A dashboard's directory, and its ledger's topics."""
    made = RoleConfiguration(
        directory=directory / "dashboard",
        ledger_id=epochs.ledger_id.hex(),
        public="../public",
        bootstrap_servers=stack.bootstrap_servers,
        topic_prefix=name,
    )
    made.save()
    public = directory / "public"
    public.mkdir()
    (public / "genesis.avro").write_bytes(epochs.genesis_bytes)
    for number, signed in enumerate(epochs.signed):
        (public / f"configuration-{number}.avro").write_bytes(signed)
    KafkaAdmin(made.connection()).create_topics(topic_table(1, epochs.latest.n))
    return made


@contextmanager
def running(configuration: RoleConfiguration) -> Iterator[Dashboard]:
    """Start the process, wait until it serves, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(configuration.directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Dashboard(process=process, address=process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def snapshot(session: ClientSession) -> Any:
    async with session.get("/snapshot") as response:
        assert response.status == 200
        return await response.json()


async def wait_for(session: ClientSession, condition: Any) -> Any:
    """The first snapshot that is as it should be."""
    async with asyncio.timeout(30):
        while not condition(shown := await snapshot(session)):
            await asyncio.sleep(0.1)
    return shown


def test_what_is_on_the_log_is_on_the_page(stack: LocalStack, unique_name: str, tmp_path: Path) -> None:
    """Measures, decisions and evidence of a real Kafka are served; rubbish on every topic is counted, and
    shows nowhere else; SIGTERM ends the process, which has said nothing on standard output but our words."""
    world = World()
    configuration = make_role(stack, unique_name, world.epochs, tmp_path)

    async def ask(pipeline: Pipeline, dashboard: Dashboard) -> None:
        async with ClientSession(dashboard.address) as session:
            shown = await wait_for(session, lambda shown: len(shown["decisions"]["newest"]) >= 3)
            assert shown["ledger"]["id"] == world.ledger_id.hex()
            shown = await wait_for(session, lambda shown: (shown["stages"]["views"]["rate"] or 0) > 0)
            assert shown["stages"]["commit"]["rate"] == pytest.approx(REQUESTS_PER_S, rel=0.3)
            assert shown["evidence"] == {"exposed": [], "judged": 0, "unproven": {}, "waiting": 0}
            for topic in (METRICS, DECISIONS, EVIDENCE):
                pipeline.write(topic, b"", b"rubbish", b"\xc3\x01" + bytes(100))
            shown = await wait_for(session, lambda shown: shown["evidence"]["judged"] == 3)
            assert shown["evidence"]["exposed"] == []
            await wait_for(
                session, lambda shown: (shown["foreign_metrics"], shown["decisions"]["skipped"]) == (3, 3)
            )
            async with session.get("/metrics") as response:
                assert 'countersign_stage_live{stage="commit"} 1.0' in (await response.text()).splitlines()
            async with session.get("/healthz") as response:
                assert response.status == 200

    with running(configuration) as dashboard:
        with Pipeline(configuration, world) as pipeline:
            asyncio.run(ask(pipeline, dashboard))
        dashboard.process.terminate()
        assert dashboard.process.wait(timeout=20) == 0
        assert dashboard.process.stdout is not None
        assert dashboard.process.stdout.read() == "ended\n"


def test_who_was_exposed_before_the_start_is_shown(
    stack: LocalStack, unique_name: str, tmp_path: Path
) -> None:
    """All evidence there is is read: restarting the dashboard forgives nobody."""
    exhibit = GALLERY["wrong_output_of_the_ledger"]()
    configuration = make_role(stack, unique_name, exhibit.epochs, tmp_path)
    writer = KafkaLogWriter(configuration.connection())
    message = Outgoing(EVIDENCE, 0, None, exhibit.evidence.to_message())
    assert publish(writer, [message], lambda: False)
    writer.close()

    async def ask(address: str) -> None:
        async with ClientSession(address) as session:
            shown = await wait_for(session, lambda shown: shown["evidence"]["judged"])
            assert [each["culprit"] for each in shown["evidence"]["exposed"]] == ["ledger"]

    with running(configuration) as dashboard:
        asyncio.run(ask(dashboard.address))


async def look_at_work(page: Page) -> None:
    """Rates appear in every stage, the newest decisions in their table, and nobody is accused."""
    await page.wait_for(DRAWN)
    await page.wait_for("document.querySelectorAll('#decisions tbody tr').length >= 2")
    for stage in ("order", "commit", "validate", "learn", "views"):
        card = f"[data-stage={stage}]"
        await page.wait_for(f"parseFloat(document.querySelector('{card} .rate b').textContent) > 0")
        await page.wait_for(f"document.querySelector('{card} .curve .line').getAttribute('d').includes('L')")
        assert "live" in await page.text(f"{card} .state")
    assert await page.text("[data-topic=decisions]") != ""
    assert await page.value("document.querySelectorAll('.replica .state.live').length") == 4
    rows = "[...document.querySelectorAll('#processes tbody tr')]"
    replicas = [f"replica-{index}" for index in range(4)]
    roles = ["auditor", "ledger", *replicas, "learner", "views", "dashboard"]
    assert await page.value(f"{rows}.map((row) => row.cells[0].textContent)") == roles
    assert await page.text("#exposed-text") == "nobody"
    assert await page.value("document.querySelectorAll('.banner.exposed').length") == 0


async def look_at_skipped(page: Page, pipeline: Pipeline) -> None:
    """What nobody could use is told with what to do, and makes nobody suspected."""
    assert await page.value("document.querySelector('#skipped').children.length") == 0
    pipeline.line.more["auditor"] = {"order.skipped": 12}
    await page.wait_for("document.querySelector('#skipped').innerText.includes('requests: 12 messages')")
    assert await page.text("#suspected-text") == "nobody"


async def look_at_width(page: Page) -> None:
    """Nothing is wider than a telephone; a wide table scrolls within itself."""
    await page.resize(400, 800)
    await page.wait_for("innerWidth === 400")
    assert await page.value("document.documentElement.scrollWidth") <= 400
    await page.resize(1280, 800)


async def look_at_readability(page: Page) -> None:
    """Every text has the contrast that WCAG AA asks for, in light and in dark colours; still where asked."""
    for dark in (False, True):
        await page.colours(dark=dark, still=True)
        assert await page.value(FAINT_TEXTS) == []
    assert await page.value("document.getAnimations().length") == 0
    await page.colours()


FAINT_TEXTS = """
(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = rgb(getComputedStyle(at).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || !node.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push([node.className, node.textContent.slice(0, 30), contrast]);
  }
  return faint;
})()
"""


async def look_at_exposure(page: Page, pipeline: Pipeline) -> None:
    """A learner's word makes a replica suspected; proof that convicts brings the banner with its culprit."""
    pipeline.line.more["learner"] = {"learn.gauge_blamed_2": 1}
    pipeline.line.silent.add("replica-1")
    await page.wait_for("document.querySelector('#suspicions').innerText.includes('Replica 2')")
    assert await page.value("document.querySelectorAll('.banner.exposed').length") == 0
    exhibit = GALLERY["wrong_output_of_the_ledger"]()
    evidence = exhibit.evidence
    pipeline.write(EVIDENCE, b"rubbish", replace(evidence, parts=evidence.parts[1:]).to_message())
    await page.wait_for("document.querySelector('#evidence-text').innerText.includes('2 unproven')")
    assert await page.value("document.querySelectorAll('.banner.exposed').length") == 0
    pipeline.write(EVIDENCE, evidence.to_message())
    await page.wait_for("document.querySelector('.banner.exposed')")
    assert await page.value("document.querySelector('.banner.exposed').dataset.culprit") == "ledger"
    assert await page.value("document.querySelector('[role=alert] .banner.exposed') !== null")
    banner = await page.text(".banner.exposed")
    assert "The Ledger is exposed" in banner
    assert "execution" in banner
    assert "does not come out when it is executed again" in banner
    assert "exposed" in await page.text("[data-stage=commit] .state")
    assert "exposed" not in await page.text("[data-stage=order] .state")
    await page.wait_for("document.querySelector('#suspicions').innerText.includes('Replica 1 · silence')")


@needs_chromium
@pytest.mark.browser
@pytest.mark.timeout(180)
def test_the_page_in_a_browser(stack: LocalStack, unique_name: str, tmp_path: Path) -> None:
    """The page draws what flows, fits, is readable, and raises its banner on proof alone; its console stays
    clean, it asks nobody but its own server, and it says so when that is gone."""
    program = find_chromium()
    assert program is not None
    world = World()
    configuration = make_role(stack, unique_name, world.epochs, tmp_path)

    async def look(browser: Chromium, dashboard: Dashboard, pipeline: Pipeline) -> None:
        async with browser.page() as page:
            await page.open(dashboard.address)
            await look_at_work(page)
            await look_at_skipped(page, pipeline)
            await look_at_width(page)
            await look_at_exposure(page, pipeline)
            await look_at_readability(page)
            assert page.said == []
            assert [url for url in page.asked if not url.startswith(dashboard.address)] == []
            dashboard.process.terminate()
            await page.wait_for("!document.querySelector('#lost').hidden")
            assert "does not answer" in await page.text("#lost")

    with (
        Chromium(program, tmp_path) as browser,
        running(configuration) as dashboard,
        Pipeline(configuration, world) as pipeline,
    ):
        asyncio.run(look(browser, dashboard, pipeline))
