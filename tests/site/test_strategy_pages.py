"""The pages on strategies: one for each, and a decision table that says of `auto` what it does."""

import re
from pathlib import Path

import pytest

from edgetune.finetune.strategies import STRATEGIES, auto

PAGES = Path(__file__).parents[2] / "docs" / "strategies"
STAGES = 18


def decisions():
    """(samples, likeness, budget, advice, what `auto` takes) of each row of the decision table."""
    table = (PAGES / "index.md").read_text(encoding="utf-8").split("| training samples a class |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def medians(samples: str):
    """Numbers of training samples of the median class that a row is about, at both its ends."""
    numbers = [int(number) for number in re.findall(r"\d+", samples)]
    if samples.startswith("any"):
        return (1, 10_000)
    if samples.startswith("fewer"):
        return (1, numbers[0] - 1)
    return (numbers[0], numbers[1]) if " to " in samples else (numbers[0], 10_000)


@pytest.mark.parametrize("row", decisions(), ids=lambda row: " ".join(row[:3]))
def test_the_table_says_what_auto_takes(row):
    samples, _, time, advice, taken = row
    pretrained = "random" not in samples
    for median in medians(samples):
        if time == "little":  # whatever is chosen, ever less is trained
            choice = auto.choose([median] * 3, STAGES, pretrained=True)
            much, little = (auto.within(choice, STAGES, 8, (3 * median, 30), 0.1, hours) for hours in (1e6, 1e-6))
            assert "max_hours" in taken and (much.strategy, little.strategy) == ("full", "feature-extraction")
            continue
        choice = auto.choose([median] * 3, STAGES, pretrained=pretrained)
        tried = {"feature-extraction"} if auto.is_compared([median] * 3, pretrained=pretrained, hours=None) else set()
        assert set(re.findall(r"`([a-z-]+)`", taken)) == {choice.strategy} | tried
        assert choice.strategy != "partial" or choice.stages == STAGES // auto.SHARE
    assert set(re.findall(r"`([a-z-]+)`", advice)) & STRATEGIES.keys()


def test_the_table_leaves_no_number_of_samples_out():
    found = {samples for samples, *_ in decisions()}
    assert {f"fewer than {auto.FEW}", f"{auto.FEW} to {auto.COMPARED - 1}", f"{auto.COMPARED} or more"} < found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_a_page_that_shows_it(strategy):
    page = (PAGES / f"{strategy}.md").read_text(encoding="utf-8")
    assert f'strategy = "{strategy}"' in page
    assert "**When.**" in page and "**Not when**" in page
