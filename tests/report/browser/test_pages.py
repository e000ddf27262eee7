"""Every page in a real browser: nothing loaded, nothing complained of, readable by whoever, however."""

import json

import pytest

from edgetune.report.diagnosis import write_diagnosis

NAMES = ("report", "everything", "diagnosis", "tune", "compare", "bench", "search", "several")
MAX_BYTES = 5_000_000
PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
PAPER = {"width": 718, "height": 1016}  # A4 at 96 dpi within Chromium's margins

pytestmark = pytest.mark.slow
WIDE = ("Confusion matrix", "Trials")  # a class or a searched key is a column: as many as there are
each_page = pytest.mark.parametrize("name", NAMES)
light_and_dark = pytest.mark.parametrize("scheme", ["light", "dark"])


@each_page
@light_and_dark
def test_it_loads_alone_and_without_a_complaint(visit, pages, name, scheme):
    seen = visit(name, color_scheme=scheme)
    assert seen.complaints == [] and seen.requests == []
    assert pages[name].stat().st_size < MAX_BYTES
    drawn = seen.page.locator(".plot").all()
    assert all(plot.locator("svg.main-svg").count() for plot in drawn)
    figures = {
        "report": 5,
        "everything": 5,
        "diagnosis": 1,
        "tune": 3,
        "compare": 0,
        "bench": 1,
        "search": 2,
        "several": 1,
    }
    assert len(drawn) == figures[name]


@each_page
@light_and_dark
def test_axe_finds_nothing_serious(visit, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    seen = visit(name, color_scheme=scheme)
    seen.unfold()
    found = axe.Axe().run(seen.page).response
    assert len(found["passes"]) > 10
    serious = [
        (rule["id"], node["target"], node["failureSummary"])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical") or rule["id"] == "landmark-unique"
        for node in rule["nodes"]
    ]
    assert serious == []


@each_page
def test_a_phone_scrolls_it_only_up_and_down(visit, name):
    seen = visit(name, **PHONE)
    seen.unfold()
    widths = seen.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [375, 375]


@each_page
def test_no_table_is_wider_than_a_desk_s_window(visit, name):
    seen = visit(name)
    seen.unfold()
    wide = seen.page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1)"
        ".map((box) => box.getAttribute('aria-label') || box.innerText.slice(0, 80))"
    )
    assert [label for label in wide if label not in WIDE] == []


@pytest.mark.parametrize("name", ["report", "everything"])
def test_on_paper_everything_is_unfolded_and_then_as_it_was(visit, name):
    page = visit(name).page
    page.locator("details > summary").first.click()
    folded, whole = page.locator("details:not([open])").count(), page.locator("details").count()
    assert 0 < folded < whole
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[open]").count() == whole
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


def test_a_picture_and_its_copy_are_in_one_box_and_large_enough(visit):
    page = visit("everything").page
    boxes = page.locator(".thumbnails > li")
    assert [boxes.nth(i).locator("img").count() for i in range(boxes.count())] == [1, 2]
    assert all(image.bounding_box()["width"] >= 112 for image in page.locator(".thumbnails img").all())
    assert page.locator(".findings .badge.warning").count() == 1


@each_page
def test_it_can_be_read_without_javascript(visit, name):
    plain = visit(name, java_script_enabled=False)
    text = plain.page.locator("main").inner_text()
    cells = plain.page.locator("td").count()
    assert cells > 5 and plain.page.locator("td:visible").count() > 5
    assert plain.page.locator(".needs-js:visible").count() == 0
    assert any(c.isdigit() for c in text)


@each_page
def test_paper_is_white_and_wide_enough(visit, name):
    seen = visit(name, color_scheme="dark", viewport=PAPER, java_script_enabled=False)
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(23, 32, 43)"
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    folded = seen.page.locator("details tbody td")
    assert all(cell.is_visible() for cell in folded.all()[:3])


def hover(page, figure, mark, which):
    """Move the mouse over a mark of a figure; returns what the figure tells then."""
    found = page.locator(f"{figure} {mark}").nth(which)
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x + 3, y + 3)
    page.mouse.move(x, y)
    page.wait_for_selector(f"{figure} .hovertext")
    return page.locator(f"{figure} .hoverlayer").text_content()


def test_marks_and_bars_tell_themselves_under_the_mouse(visit):
    seen = visit("everything")
    told = hover(seen.page, "#tradeoff-1", ".points path", 1)
    assert all(part in told for part in ("accuracy", "median", "size")), told
    told = hover(seen.page, "#layers-1", ".barlayer .point path", 1)
    assert "features." in told and "µs" in told, told
    assert seen.complaints == []


def test_a_search_has_marks_by_size_code_as_code_and_its_hypervolume_as_numbers(visit):
    page = visit("search").page
    assert (
        "`" not in page.locator("main").inner_text()
        and page.locator("main code").first.inner_text() == "edgetune build"
    )
    told = hover(page, "#pareto", ".points path", 2)
    assert "trial 0" in told and "900 kB" in told, told
    widths = [
        page.locator("#pareto .points path").nth(i).bounding_box()["width"] for i in (2, 3, 1)
    ]  # on top: the front
    assert widths == sorted(widths, reverse=True) and widths[0] > 2 * widths[2]
    ticks = page.locator("#volume .xtick text").all_text_contents()
    assert ticks and all(tick.isdigit() for tick in ticks)
    assert visit("search", java_script_enabled=False).page.locator("details td").count() == 3


def test_a_mark_tells_which_run_it_is_of_and_its_area_is_the_size(visit):
    page = visit("several").page
    told = hover(page, "#tradeoff-1", ".points path", 1)
    assert all(part in told for part in ("second", "ships: float", "9.0 MB", "AMD EPYC")), told
    widths = [page.locator("#tradeoff-1 .points path").nth(i).bounding_box()["width"] for i in (0, 1)]
    assert widths[1] / widths[0] == pytest.approx((8.96 / 2.54) ** 0.5, abs=0.15)
    page.locator("#target-1 a", has_text="second").click()
    assert page.url.endswith("#run-2")


def test_a_long_name_of_a_run_is_not_cut_at_the_edge_of_a_phone(visit):
    page = visit("several", **PHONE).page
    box = page.locator("#tradeoff-1").bounding_box()
    names = page.locator("#tradeoff-1 .textpoint")
    assert names.count() == 2 and any("…" in text for text in names.all_text_contents())
    for name in (names.nth(i).bounding_box() for i in range(2)):
        assert box["x"] <= name["x"] and name["x"] + name["width"] <= box["x"] + box["width"]


def test_remarks_on_trials_stand_whole_under_them(visit):
    page = visit("search", viewport={"width": 1200, "height": 900}).page
    table = page.locator("[aria-label=Trials]")
    right = table.bounding_box()["x"] + table.bounding_box()["width"]
    remarks = table.locator(".remark span")
    assert remarks.count() == 2 and remarks.first.inner_text().startswith("Hopeless: its network has 71.0 %")
    assert remarks.first.bounding_box()["x"] + remarks.first.bounding_box()["width"] <= right


def test_long_names_of_layers_and_causes_break_where_a_table_would_be_too_wide(visit, pages, tmp_path):
    found = json.loads(pages["diagnosis"].with_suffix(".json").read_text())
    for layer in found["layers"]:
        layer["layer"] = "encoder.backbone.encoder.layer.0.attention.output.dense"
        layer["causes"] = ["outlier channels: one of 32 channels of its input reach up to 274, and all share one range"]
    write_diagnosis(found, tmp_path)
    page = visit(tmp_path / "diagnosis.html", viewport={"width": 1200, "height": 900}).page
    box = page.locator("[aria-label^=Operators]")
    sizes = box.evaluate("box => [box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight]")
    assert sizes == [0, 0] and "SQNR" in box.inner_text()
    assert "gradient" in box.evaluate("box => getComputedStyle(box).backgroundImage")  # where it scrolls, on a phone


def test_filters_hide_what_is_not_asked_for_and_the_budget_is_drawn(visit):
    page = visit("everything").page
    rows = page.locator("#target-1 table").first.locator("tbody tr")
    all_of_them = rows.locator("visible=true").count()
    page.locator("#target-1 select[name=precision]").select_option("int8")
    assert 0 < page.locator("#target-1 table").first.locator("tbody tr:visible").count() < rows.count() == all_of_them
    assert "budget" in page.locator("#tradeoff-1").text_content()
    assert "limit 2.5 ms" in page.locator("#tradeoff-1").text_content()
