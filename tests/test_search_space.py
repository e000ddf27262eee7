"""What may be searched, and the sentence for what may not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import RecipeError
from edgetune.recipe import LIMITS, load_recipe
from edgetune.search_space import search_space_of, space_of, usual_space

MODEL = '[model]\nname = "torchvision/resnet18"\n[data]\npath = "photos"\n'


def recipe(tmp_path, text, model=MODEL):
    path = tmp_path / "edgetune.toml"
    path.write_text(model + text)
    return load_recipe(path)


def test_ranges_and_lists_become_dimensions(tmp_path):
    found = recipe(
        tmp_path,
        "[tune.space]\nlearning_rate = { low = 1e-4, high = 1, log = true }\nepochs = { low = 2, high = 9 }\n"
        'mixup = [0, 0.2]\nstrategy = ["full", "gradual"]\n',
    )
    rate, epochs, mixup, strategy = space_of(found)
    assert (rate.low, rate.high, rate.log, rate.whole) == (1e-4, 1.0, True, False)
    assert (epochs.low, epochs.high, epochs.log, epochs.whole) == (2.0, 9.0, False, True)
    assert mixup.choices == (0.0, 0.2) and all(isinstance(value, float) for value in mixup.choices)
    assert strategy.choices == ("full", "gradual")
    assert rate.holds(0.01) and not rate.holds(2.0) and strategy.holds("full") and not strategy.holds("partial")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("learning_rat = [1e-3]", r"edgetune.toml:6: `learning_rat` in \[tune.space\] is no key of \[finetune\]"),
        ("ratio = [0.1]", "is no key of"),
        ('keep = ["photos"]', r"`keep` in \[tune.space\] is no key of \[finetune\] that can be searched"),
        ("learning_rate = 1e-3", "must be a list of values, or a table such as"),
        ("strategy = { low = 1, high = 2 }", "must be a list of values"),
        ("learning_rate = []", "a list of values, each once"),
        ("epochs = [4, 4]", "a list of values, each once"),
        ('epochs = ["four"]', "holds 'four'; it must be a whole number"),
        ("epochs = [4.5]", "holds 4.5; it must be a whole number"),
        ("epochs = { low = 1.5, high = 3 }", "it must be whole numbers"),
        ("epochs = { low = 0, high = 3 }", "`tune.space.epochs` holds 0; it must be from 1 to 10000"),
        ("learning_rate = { low = 1e-2, high = 1e-3 }", "low must be below high"),
        ("weight_decay = { low = 0, high = 0.1, log = true }", "it must begin above 0"),
        ("learning_rate = { low = 1e-4, high = 11 }", "holds 11.0; it must be above 0 and at most 10"),
        ("learning_rate = { low = 1e-4, hihg = 1 }", "unknown key `hihg`"),
        ("learning_rate = { low = 1e-4 }", "`high` is missing"),
        ('augmentation = ["loud"]', 'cannot be "loud"'),
    ],
)
def test_what_cannot_be_searched_is_told_with_its_line(tmp_path, line, words):
    with pytest.raises(RecipeError, match=words):
        recipe(tmp_path, f"[tune.space]\n{line}\n")


def test_an_empty_space_and_pictures_for_text(tmp_path):
    with pytest.raises(RecipeError, match="is empty"):
        recipe(tmp_path, "[tune.space]\n")
    text = '[model]\nname = "transformers/encoder"\n[data]\npath = "reviews.csv"\n'
    with pytest.raises(RecipeError, match="is for pictures"):
        recipe(tmp_path, "[tune.space]\nmixup = [0.0, 0.2]\n", text)
    assert "augmentation" not in [dimension.name for dimension in space_of(recipe(tmp_path, "", text))]


@pytest.mark.parametrize("line", ["trials = 0", "timeout_hours = 0", 'pruner = "harsh"', "lost_after_seconds = 0.1"])
def test_the_other_keys_have_limits(tmp_path, line):
    with pytest.raises(RecipeError, match="tune"):
        recipe(tmp_path, f"[tune]\n{line}\n")


@given(rate=st.floats(1e-9, 10.0), epochs=st.integers(1, 10_000), decay=st.floats(0, 1), pretrained=st.booleans())
def test_the_usual_space_is_of_values_that_finetune_takes(tmp_path_factory, rate, epochs, decay, pretrained):
    found = recipe(tmp_path_factory.mktemp("usual"), "")
    own = replace(found.finetune, learning_rate=rate, epochs=epochs, weight_decay=decay)
    found = replace(found, finetune=own, model=replace(found.model, pretrained=pretrained))
    space = {dimension.name: dimension for dimension in usual_space(found)}
    assert ("strategy" in space) == pretrained
    for name in ("learning_rate", "weight_decay"):
        test, _ = LIMITS[("finetune", name)]
        assert test(space[name].low) and test(space[name].high) and space[name].low < space[name].high
    assert space["learning_rate"].holds(rate) and space["epochs"].holds(epochs)
    test, _ = LIMITS[("finetune", "epochs")]
    assert all(test(choice) for choice in space["epochs"].choices)


def test_sections_of_a_search_become_dimensions(tmp_path):
    found = recipe(
        tmp_path,
        '[search.space]\nprune.target_speedup = { low = 1, high = 3 }\nquantize.mode = ["none", "qat"]\n'
        'data.image_size = [64, 96]\nmodel.name = ["torchvision/resnet18", "timm/resnet10t"]\n',
    )
    speedup, mode, size, model = search_space_of(found, int8=True)
    assert (speedup.name, speedup.low, speedup.high, speedup.whole) == ("prune.target_speedup", 1.0, 3.0, False)
    assert mode.choices == ("none", "qat") and size.choices == (64, 96) and model.holds("timm/resnet10t")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prun.ratio = [0.1]", r"edgetune.toml:6: `prun` in \[search.space\] is no section that is searched"),
        ("finetune.epochs = [1]", "is no section that is searched"),
        ("prune = 3", r"must hold keys of \[prune\]"),
        ("prune.rati = [0.1]", r"`prune.rati` in \[search.space\] is no key of \[prune\]"),
        ("quantize.keep_float = [1]", "is no key of"),
        ("prune.ratio = [1.0]", "`search.space.prune.ratio` holds 1.0; it must be shares of channels"),
        ("prune.target_speedup = { low = 0.5, high = 2 }", "holds 0.5; it must be factors above 1"),
        ('prune.criterion = ["best"]', 'cannot be "best"'),
        ("prune.ratio = [0.1]\nprune.target_speedup = [1.5]", "has both"),
        ('model.name = ["resnet18"]', "neither a library's network nor a factory"),
        ('model.name = ["transformers/encoder"]', "mixes networks for pictures and for texts"),
        ("data.image_size = [8]", "from 16 to 2048"),
        ('quantize.repair = ["adaround"]', r"holds .adaround.; it must be lists of text, such as \[\[\]"),
        ("quantize.repair = [[1]]", "must be lists of text"),
        ("quantize.repair = { low = 1, high = 2 }", "must be a list of values"),
        ('quantize.repair = [["magic"]]', 'cannot be "magic"'),
        ('quantize.repair = [["smoothquant"]]', "which is for text; this network reads pictures"),
        ("quantize.repair = [[], []]", "each once"),
        ("", "is empty"),
    ],
)
def test_what_a_search_cannot_vary_is_told_with_its_line(tmp_path, line, words):
    with pytest.raises(RecipeError, match=words):
        recipe(tmp_path, f"[search.space]\n{line}\n")


def test_weights_of_one_network_do_not_fit_another(tmp_path):
    with pytest.raises(RecipeError, match=r"`model\.weights` fits one network"):
        recipe(
            tmp_path,
            '[search.space]\nmodel.name = ["torchvision/resnet34"]\n',
            MODEL.replace("[data]", 'weights = "w.pth"\n[data]'),
        )


def test_text_has_no_ratios_and_no_calibration(tmp_path):
    text = '[model]\nname = "transformers/encoder"\n[data]\npath = "reviews.csv"\n'
    for line in ("prune.ratio = [0.1]", 'quantize.scales = ["frozen"]', 'quantize.calibration = ["mse"]'):
        with pytest.raises(RecipeError, match="text"):
            recipe(tmp_path, f"[search.space]\n{line}\n", text)
    names = [dimension.name for dimension in search_space_of(recipe(tmp_path, "", text), int8=True)]
    assert names == ["prune.target_speedup", "prune.distillation_weight", "quantize.mode"]


@pytest.mark.parametrize(
    "line", ["trials = 0", 'sampler = "best"', "give_up_points = -1", "stop_points = 101", "lost_after_seconds = 0"]
)
def test_the_other_keys_of_a_search_have_limits(tmp_path, line):
    with pytest.raises(RecipeError, match="search"):
        recipe(tmp_path, f"[search]\n{line}\n")
