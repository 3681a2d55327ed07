"""The page of a run of thousands of sub-calls beside that of a run of few, in a real Chromium.

    python -m evals.performance.pages

The runs are real ones, over a scripted model. Needs Chromium (`apt-get install chromium`) and the development
dependencies.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import time
from typing import Any

import httpx2
from playwright.async_api import Browser, Page, async_playwright

from evals.performance.processes import rants
from evals.performance.table import Line, show
from evals.scripted import Reply, ScriptedBackend, usage

_WINDOW = 8000  # tokens, which the conversation is longer than
_LONG = "Order 1: it was sent in time. " * 4000
_PART = "Which of these are late?"
_CALL_SECONDS = 0.05
_PATIENCE = 300.0  # seconds for a run
_SCROLLS = 120  # frames

_CODE = """\
I ask about each part, many at once.
```python
replies = llm_query_batched([f"{_PART} Part {{number}}: " + "It was sent in time. " * 8 for number in range({calls})])
print(len(replies), "replies")
```
""".replace("{_PART}", _PART)


def _script(body: dict[str, Any]) -> Reply:
    """A root LM that makes as many sub-calls as the question says, and then submits; and its sub-LM."""
    said = body["messages"]
    if said[-1]["content"].startswith(_PART):
        return Reply(["None of them."], usage=usage(60, 4), first_delay=_CALL_SECONDS)
    if "replies" in said[-1]["content"]:
        return Reply(["```python\nSUBMIT('None.')\n```"], usage=usage(2000, 12, 1800))
    asked = re.findall(r"in (\d+) calls", " ".join(str(message["content"]) for message in said))
    return Reply([_CODE.format(calls=asked[-1])], usage=usage(1900, 60))


async def _run(address: str, calls: int) -> str:
    """Have a run make so many sub-calls; gives its id."""
    body = {"input": f"{_LONG}\n\nWhich orders are late? Find out in {calls} calls."}
    async with httpx2.AsyncClient(timeout=_PATIENCE) as client:
        answer = (await client.post(f"{address}/v1/responses", json=body)).json()
    if answer["status"] != "completed":
        raise RuntimeError(f"the run of {calls} calls ended as {answer['status']}: {answer['error']}")
    return str(answer["id"])


_WATCH = """
window.painted = 0;
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.painted = one.startTime; })
  .observe({ type: "paint", buffered: true });
"""

_SCROLL = """
async (steps) => {
  const tree = document.querySelector("#tree");
  const group = [...tree.querySelectorAll(".row")].find((row) => row.querySelector(".mark.call"));
  group.querySelector(".twist").click();
  const frames = [];
  const next = () => new Promise(requestAnimationFrame);
  let before = await next();
  for (let step = 0; step < steps; step += 1) {
    tree.scrollTop = (tree.scrollHeight - tree.clientHeight) * (step / steps);
    const now = await next();
    frames.push(now - before);
    before = now;
  }
  return { frames, rows: tree.querySelectorAll(".row").length, all: tree.scrollHeight / 28 };
}
"""

_ZOOM = """
async (steps) => {
  const line = document.querySelector(".timeline-box");
  const frames = [];
  const next = () => new Promise(requestAnimationFrame);
  let before = await next();
  for (let step = 0; step < steps; step += 1) {
    const key = step < 10 ? "+" : step % 2 ? "ArrowLeft" : "ArrowRight";
    line.dispatchEvent(new KeyboardEvent("keydown", { key }));
    const now = await next();
    frames.push(now - before);
    before = now;
  }
  return { frames, elements: document.querySelectorAll(".timeline-svg *").length };
}
"""


async def _measure(browser: Browser, address: str, name: str) -> dict[str, float]:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    await page.add_init_script(_WATCH)
    seen = await _bytes(page, f"{address}/ui/runs/{name}")
    scrolled: dict[str, Any] = await page.evaluate(_SCROLL, _SCROLLS)
    zoomed: dict[str, Any] = await page.evaluate(_ZOOM, _SCROLLS)
    session = await context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    heap = (await session.send("Runtime.getHeapUsage"))["usedSize"]
    found = {
        **seen,
        "paint": await page.evaluate("window.painted"),
        "heap": heap / 1e6,
        "rows": scrolled["rows"],
        "elements": zoomed["elements"],
        "frame": statistics.median(scrolled["frames"]),
        "slow frame": sorted(scrolled["frames"])[int(len(scrolled["frames"]) * 0.95)],
        "zoom frame": statistics.median(zoomed["frames"]),
    }
    await context.close()
    return found


async def _bytes(page: Page, address: str) -> dict[str, float]:
    """What is sent until the tree is there, and when it is."""
    sizes: list[int] = []

    async def add(finished: Any) -> None:
        sizes.append((await finished.sizes())["responseBodySize"])

    page.on("requestfinished", add)
    start = time.perf_counter()
    await page.goto(address)
    await page.locator("#tree .row").first.wait_for()
    ready = time.perf_counter() - start
    await page.wait_for_load_state("networkidle")
    return {"bytes": sum(sizes) / 1e3, "tree": ready * 1000}


_ROWS = (
    ("bytes", "sent for the page", "kB", None),
    ("paint", "first contentful paint", "ms", 1.5),
    ("tree", "until the tree is there", "ms", None),
    ("heap", "JavaScript heap", "MB", None),
    ("rows", "rows in the page", "", 1.5),
    ("elements", "elements of the time line", "", 1.5),
    ("frame", "a frame while scrolling, median", "ms", 1.5),
    ("slow frame", "  19 of 20 at most", "ms", None),
    ("zoom frame", "a frame while zooming, median", "ms", None),
)


async def pages(many: int = 5000, few: int = 50, rounds: int = 3) -> None:
    """Measure and print a table.

    Args:
        many: sub-calls of the one run.
        few: of the other.
        rounds: how often each page is opened, by turns; printed are the medians.

    Raises:
        RuntimeError: there is no Chromium, or RANTS does not start or answer.
    """
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        raise RuntimeError("Chromium is not installed: apt-get install chromium")
    with ScriptedBackend(_script) as backend:
        variables = {
            "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": str(_WINDOW),
            "RANTS_RLM__RANTS_ONE__BUDGET__MODEL_CALLS": str(2 * many),
            "RANTS_RLM__RANTS_ONE__BUDGET__CONCURRENCY": "64",
        }
        measured: dict[str, list[dict[str, float]]] = {"many": [], "few": []}
        async with rants(backend.base_url, variables) as server, async_playwright() as playwright:
            names = {name: await _run(server.address, calls) for name, calls in (("many", many), ("few", few))}
            browser = await playwright.chromium.launch(
                executable_path=binary, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            for _ in range(rounds):
                for name, found in measured.items():
                    found.append(await _measure(browser, server.address, names[name]))
            await browser.close()
    lines = []
    for row, what, unit, most in _ROWS:
        big, small = (statistics.median(one[row] for one in measured[name]) for name in ("many", "few"))
        ratio = big / small if small else 0.0
        met = most is None or ratio <= most
        cells = tuple(f"{value:,.1f} {unit}".strip() for value in (big, small))
        lines.append(Line(what, cells, f"{ratio:.2f}", f"<= {most:g}" if most else "-", met))
    show(f"The page of a run, medians of {rounds} rounds", (f"{many:,} sub-calls", f"{few:,}"), lines)


if __name__ == "__main__":
    asyncio.run(pages())
