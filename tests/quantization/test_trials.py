"""Changes are tried one upon the other, and what is suggested is accurate enough with the fewest layers in float."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from unlike_channels import EXAMPLE, ONE_SCALE, chain, pictures

from edgetune.quantization.sensitivity import Outcome, all_logits
from edgetune.quantization.trials import Bench, Settings, Trial, suggested, try_changes

RECIPE = Settings(calibration="mse", repair=(), keep_float=())


def bench(network):
    with torch.no_grad():
        labels = [network(batch).argmax(1) for batch in pictures()]

    def labelled():
        return list(zip(pictures(), labels, strict=True))

    return Bench(
        network=network,
        example=EXAMPLE,
        scheme=ONE_SCALE,
        calibration=pictures,
        batches=labelled,
        reference=all_logits(network, labelled),
    )


def test_equalisation_is_found_where_one_scale_a_weight_breaks_the_network():
    trials = try_changes(bench(chain()), RECIPE, ["2", "4"])
    by_name = {trial.change: trial for trial in trials}
    assert next(iter(by_name)) == "as in the recipe" and list(by_name)[-1] == "2 layers in float"
    equalised = by_name["with equalisation"]
    assert equalised.helped and equalised.outcome.divergence < 0.5 * by_name["as in the recipe"].outcome.divergence
    # later trials stand on it
    assert all("equalisation" in trial.settings.repair for trial in trials[trials.index(equalised) :])
    assert by_name["1 layer in float"].settings.keep_float == ("2",)
    assert len({trial.to_json()["settings"]["calibration"] for trial in trials}) == 5


def test_nothing_more_is_tried_once_the_accuracy_is_enough():
    network = bench(chain())
    assert len(try_changes(network, RECIPE, [])) > len(try_changes(network, RECIPE, [], enough=0.0))


def test_repairs_of_the_recipe_are_tried_without():
    settings = replace(RECIPE, repair=("equalisation", "bias-correction"))
    names = [trial.change for trial in try_changes(bench(chain(scale=1.0)), settings, [])]
    assert names[-3:] == ["without equalisation", "without bias-correction", "with adaround"]


def made(accuracy, kept, divergence):
    settings = replace(RECIPE, keep_float=tuple(str(i) for i in range(kept)))
    outcome = Outcome(accuracy=accuracy, loss=0.0, divergence=divergence, agreement=1.0)
    return Trial(change="x", settings=settings, outcome=outcome, helped=False)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.floats(0, 5)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_the_suggestion_reaches_the_budget_with_the_fewest_layers_in_float(rows, least):
    trials = [made(*row) for row in rows]
    enough = [trial for trial in trials if trial.outcome.accuracy >= least]
    choice = suggested(trials, least)
    if not enough:
        assert choice is None
    elif trials[0] in enough:
        assert choice is trials[0]
    else:
        assert choice in enough
        assert len(choice.settings.keep_float) == min(len(t.settings.keep_float) for t in enough)
