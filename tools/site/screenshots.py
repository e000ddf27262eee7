"""The pictures in the docs, from pages of real runs: ``python tools/site/screenshots.py report=RUN/report.html ...``.

A page is named by its kind: report, bench, compare, search, several; those that are given are taken anew. Needs
Playwright and a Chromium, as the tests of the pages do. Each picture is a part of the page, reduced to a palette:
documentation is read over slow lines too.
"""

import io
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESK = {"viewport": {"width": 1100, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
MARGIN = 16
COLORS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A part of a page; ``name`` begins with the page's kind."""

    name: str
    begins: str = ""  # heading at its top, or that of the page
    ends: str  # heading that it ends before
    tallest: int  # pixels of the page
    dark: bool = False
    window: dict[str, Any] = field(default_factory=lambda: DESK)
    hovers: str = ""  # a mark that the mouse is over


PICTURES = (
    Picture(name="report-tradeoff", ends="Candidates", tallest=1330),
    Picture(name="report-latency", begins="Latency by percentile", ends="class by class", tallest=1100),
    Picture(name="report-flips", begins="Became wrong", ends="Training", tallest=590, dark=True),
    Picture(name="report-phone", ends="Latency distribution", tallest=1130, window=PHONE),
    Picture(name="bench-percentiles", ends="The machine", tallest=1700),
    Picture(name="compare-checks", ends="Class by class", tallest=1330),
    Picture(name="compare-flips", begins="Became wrong", ends="Notes", tallest=590, dark=True),
    Picture(name="search-front", ends="Hypervolume", tallest=1500, hovers="#pareto .points path >> nth=-1"),
    Picture(
        name="several-tradeoff",
        ends="What does not compare",
        tallest=1470,
        hovers="#tradeoff-1 .points path >> nth=-1",
    ),
)


def take(page: Page, picture: Picture) -> bytes:
    """A PNG of the page from one heading to the next that is named."""
    width, height = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
    if picture.hovers:  # all of it in the window: a page that scrolls under the mouse forgets what it was over
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator(picture.hovers).bounding_box()
        assert box is not None, f"the page has no {picture.hovers}"
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector(".hovertext")
    top = 0.0 if not picture.begins else _top(page, picture.begins) - MARGIN
    tall = min(_top(page, picture.ends) - top - MARGIN, picture.tallest)
    return page.screenshot(full_page=True, clip={"x": 0, "y": top, "width": width, "height": tall})


def _top(page: Page, heading: str) -> float:
    box = page.locator("h2, h3", has_text=heading).first.bounding_box()
    assert box is not None, f"the page has no heading {heading}"
    return box["y"]


def write(browser: Browser, picture: Picture, file: Path) -> None:
    """Take one picture and put it into the docs."""
    page = browser.new_context(**picture.window, color_scheme="dark" if picture.dark else "light").new_page()
    page.set_default_timeout(120_000)  # on a busy machine
    page.goto(file.absolute().as_uri())
    if page.locator(".plot").count():
        page.wait_for_selector(".plot .main-svg")
    taken = Image.open(io.BytesIO(take(page, picture))).convert("RGB")
    taken.quantize(COLORS, dither=Image.Dither.NONE).save(FOLDER / f"{picture.name}.png", optimize=True)


def main(pages: dict[str, Path]) -> None:
    """Write the pictures of the pages that are given by their kind."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM)
        for picture in PICTURES:
            if file := pages.get(picture.name.partition("-")[0]):
                write(browser, picture, file)
        browser.close()


if __name__ == "__main__":
    main({kind: Path(file) for kind, _, file in (argument.partition("=") for argument in sys.argv[1:])})
