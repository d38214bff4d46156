"""The report's page in a real browser: nothing sticks out, nothing is unreadable, light or dark, narrow or wide.

A wrapper shows the page in a frame as wide as wanted and measures what the browser made of it. Needs a Chromium
(``SCALIX_TEST_CHROMIUM`` names one); without it the test says so and is skipped.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from sidecar.analytics.page import html_page
from tests.analytics.history import month, report_of

pytestmark = [pytest.mark.anyio, pytest.mark.process]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
CHROMIUM = os.environ.get("SCALIX_TEST_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
LIGHT, DARK = "1", "0"

WRAPPER = """<!doctype html><body style="margin:0">
<iframe id=f src="page.html" style="width:WIDTHpx;height:900px;border:0"></iframe><script>
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ratio = (one, other) => {
  const [a, b] = [light(parse(one)), light(parse(other))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const behind = (view, element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = view.getComputedStyle(e).backgroundColor;
    if (!/rgba?\\(0, 0, 0, 0\\)|transparent/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
document.getElementById("f").onload = (event) => {
  const doc = event.target.contentDocument, view = event.target.contentWindow;
  const outside = [], faint = [];
  for (const text of doc.querySelectorAll("svg text")) {
    if (view.getComputedStyle(text).opacity === "0" || !text.textContent) continue;
    const card = text.closest("figure").getBoundingClientRect(), box = text.getBoundingClientRect();
    if (box.left < card.left || box.right > card.right || box.bottom > card.bottom) outside.push(text.textContent);
  }
  for (const element of doc.querySelectorAll("h1, h2, h3, p, li, td, th, span, svg text, footer")) {
    if (!element.textContent.trim()) continue;
    const style = view.getComputedStyle(element);
    const ink = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const contrast = ratio(ink, behind(view, element));
    if (contrast < 4.5) faint.push([element.textContent.slice(0, 40), contrast]);
  }
  for (const bar of doc.querySelectorAll("svg .bar rect, svg .dot, .legend")) {
    const style = view.getComputedStyle(bar);
    const ink = bar.matches(".legend") ? view.getComputedStyle(bar, "::before").backgroundColor : style.fill;
    const contrast = ratio(ink, behind(view, bar));
    if (contrast < 1.6) faint.push([bar.getAttribute("class"), contrast]);
  }
  const result = document.createElement("output");
  result.textContent = JSON.stringify({
    width: doc.documentElement.scrollWidth, room: doc.documentElement.clientWidth, outside, faint,
    plots: doc.querySelectorAll("svg").length,
    background: view.getComputedStyle(doc.body).backgroundColor,
    columns: view.getComputedStyle(doc.querySelector(".plots")).gridTemplateColumns.split(" ").length,
    scripts: doc.scripts.length,
    loaded: view.performance.getEntriesByType("resource").map((entry) => entry.name),
  });
  document.body.append(result);
};
</script>"""


def measured(folder: Path, width: int, scheme: str) -> dict[str, Any]:
    """What the browser says about the page at that width, in light or dark."""
    (folder / "wrapper.html").write_text(WRAPPER.replace("WIDTH", str(width)), encoding="utf-8")
    assert CHROMIUM is not None
    words = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
        "--hide-scrollbars", "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1400,1000", "--virtual-time-budget=5000",
        "--dump-dom", (folder / "wrapper.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=90)
    found = re.search(r"<output>(.*?)</output>", done.stdout, re.DOTALL)
    assert found is not None, f"the page did not load: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page of the report was not looked at in a browser")
@pytest.mark.parametrize(("width", "columns"), [(360, 1), (768, 1), (1280, 2)], ids=["narrow", "middle", "wide"])
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
async def test_the_page_is_readable(tmp_path: Path, width: int, columns: int, scheme: str) -> None:
    page = html_page(await report_of(month()), period="3 Dec – 1 Jan 2026", made="1 Jan 2026 13:00")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    seen = await anyio.to_thread.run_sync(measured, tmp_path, width, scheme)
    assert seen["width"] <= seen["room"] == width, "the page scrolls sideways"
    assert seen["outside"] == [], "labels stick out of their cards"
    assert seen["faint"] == [], "too little contrast"
    assert (seen["plots"], seen["columns"]) == (8, columns)
    assert (seen["scripts"], seen["loaded"]) == (0, [])
    shade = sum(map(int, re.findall(r"\d+", seen["background"])[:3]))
    assert shade > 600 if scheme == LIGHT else shade < 150
