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
    """Numbers of training samples of the median class that a row is about, to its very edges."""
    if samples.startswith("any"):
        return (1, 10_000)
    number = int(re.search(r"\d+", samples)[0])
    return (1, number - 1) if samples.startswith("fewer") else (number, 10_000)


@pytest.mark.parametrize("row", decisions(), ids=lambda row: " ".join(row[:3]))
def test_the_table_says_what_auto_takes(row):
    samples, _, _, advice, taken = row
    for median in medians(samples):
        choice = auto.choose([median] * 3, STAGES, pretrained="random" not in samples)
        assert f"`{choice.strategy}`" == taken
        assert choice.strategy != "partial" or choice.stages == STAGES // auto.SHARE
    assert set(re.findall(r"`([a-z-]+)`", advice)) & STRATEGIES.keys()


def test_the_table_leaves_no_number_of_samples_out():
    found = {samples for samples, *_ in decisions()}
    assert {f"fewer than {auto.FEW}", f"{auto.FEW} or more"} < found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_a_page_that_shows_it(strategy):
    page = (PAGES / f"{strategy}.md").read_text(encoding="utf-8")
    assert f'strategy = "{strategy}"' in page
    assert "**When.**" in page and "**Not when**" in page
