"""The pictures of docs/report.md, from the report of a real run: ``python tools/site/screenshots.py RUN``.

Needs Playwright and a Chromium, as the tests of the pages do. Each picture is a part of the page, reduced to a palette:
documentation is read over slow lines too.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESK = {"viewport": {"width": 1100, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
# name: (window, heading at its top or "", heading that it ends before, most pixels of the page's height)
PICTURES = {
    "report-tradeoff": ({**DESK, "color_scheme": "light"}, "", "Candidates", 1330),
    "report-latency": ({**DESK, "color_scheme": "light"}, "Latency by percentile", "class by class", 1100),
    "report-flips": ({**DESK, "color_scheme": "dark"}, "Became wrong", "Training", 590),
    "report-phone": ({**PHONE, "color_scheme": "light"}, "", "Latency distribution", 1130),
}
MARGIN = 16


def take(page: Page, begins: str, ends: str, tallest: int) -> bytes:
    """A PNG of the page from one heading to the next that is named."""
    width = page.evaluate("document.documentElement.clientWidth")
    top = 0.0 if not begins else _top(page, begins) - MARGIN
    height = min(_top(page, ends) - top - MARGIN, tallest)
    clip = {"x": 0, "y": top, "width": width, "height": height}
    return page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]


def _top(page: Page, heading: str) -> float:
    box = page.locator("h2, h3", has_text=heading).first.bounding_box()
    assert box is not None, f"the report has no heading {heading}"
    return box["y"]


def main(run: Path) -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM)
        for name, (window, begins, ends, tallest) in PICTURES.items():
            page = browser.new_context(**window).new_page()
            page.set_default_timeout(120_000)  # on a busy machine
            page.goto((run / "report.html").absolute().as_uri())
            page.wait_for_selector("#tradeoff-1 .main-svg")
            picture = Image.open(io.BytesIO(take(page, begins, ends, tallest))).convert("RGB")
            path = FOLDER / f"{name}.png"
            picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
