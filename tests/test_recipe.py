"""Recipes: defaults, every bad value with file, line and hint, and no crash on any text."""

import re
import tomllib
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import RecipeError
from edgetune.recipe import CHOICES, LIMITS, load_recipe, parse_recipe
from edgetune.records import Recipe
from edgetune.toml import TomlFile, line_of

MINIMAL = '[model]\nname = "torchvision/mobilenet_v2"\n[data]\npath = "data"\n'


def load(tmp_path, text):
    path = tmp_path / "edgetune.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def test_model_and_data_are_enough(tmp_path):
    recipe = load(tmp_path, MINIMAL)
    assert recipe.model.name == "torchvision/mobilenet_v2"
    assert recipe.budget.max_accuracy_drop == 1.0
    assert recipe.targets.names == ("x86-cpu",)
    assert recipe.base == tmp_path


def test_a_folder_stands_for_the_recipe_in_it(tmp_path):
    load(tmp_path, MINIMAL)
    assert load_recipe(tmp_path).data.path == "data"


def test_one_ratio_reads_as_a_list_and_whole_numbers_as_numbers(tmp_path):
    recipe = load(tmp_path, MINIMAL + "[prune]\nratio = 0.3\n[budget]\nmax_accuracy_drop = 2\n")
    assert recipe.prune.ratio == (0.3,)
    assert recipe.budget.max_accuracy_drop == 2.0


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (MINIMAL + "[finetun]\nepochs = 3\n", "edgetune.toml:5: unknown key `finetun`", "did you mean `finetune`?"),
        (MINIMAL + "[finetune]\nepoch = 3\n", "edgetune.toml:6: unknown key `epoch` in [finetune]", "`epochs`"),
        (MINIMAL + "[finetune]\nepochs = '3'\n", "edgetune.toml:6: `finetune.epochs` must be a whole number", None),
        (MINIMAL + "[finetune]\nepochs = true\n", "must be a whole number, not true or false", None),
        (
            MINIMAL + "[finetune]\nepochs = 0\n",
            "edgetune.toml:6: `finetune.epochs` is 0; it must be from 1 to 10000",
            None,
        ),
        (MINIMAL + "[finetune]\nmicro_batch = 1\n", "`finetune.micro_batch` is 1; it must be 0", None),
        (MINIMAL + "[finetune]\nema = 1.0\n", "`finetune.ema` is 1.0; it must be from 0 (not used) to below 1", None),
        (MINIMAL + '[finetune]\nstrategy = "gradal"\n', '`finetune.strategy` cannot be "gradal"', "gradual"),
        (MINIMAL + "[prune]\n\nratio = [0.1, 1.0]\n", "edgetune.toml:7: `prune.ratio` is [0.1, 1.0]", None),
        (MINIMAL + "[prune]\nratio = [-0.1]\n", "`prune.ratio` is [-0.1]", None),
        (MINIMAL + '[quantize]\nrepair = ["magic"]\n', '`quantize.repair` cannot be "magic"', "bias-correction"),
        (MINIMAL + "[prune]\ntarget_speedup = 1.0\n", "`prune.target_speedup` is [1.0]; it must be factors", None),
        (MINIMAL + "[prune]\nratio = 1.5\n", "`prune.ratio` is [1.5]; it must be shares of channels", None),
        (
            MINIMAL + "[prune]\ntarget_latency_ms = [0.0]\n",
            "`prune.target_latency_ms` is [0.0]; it must be milli",
            None,
        ),
        (
            MINIMAL + "[prune.layers]\nlayer4 = 1.0\n",
            "`prune.layers` is {'layer4': 1.0}; it must be module names",
            None,
        ),
        (MINIMAL + '[prune]\nlayers = { fc = "half" }\n', "`prune.layers` is", None),
        (MINIMAL + '[prune]\nsparsity = "lasso"\n', '`prune.sparsity` cannot be "lasso"', "group-lasso"),
        (
            MINIMAL + '[prune]\ngroup_reduction = "max"\n',
            'means nothing to the criterion "fisher"',
            "another criterion",
        ),
        (MINIMAL + '[prune]\ncriterion = "lamp"\nnormalization = "max"\n', "`prune.normalization` cannot be set", None),
        (
            MINIMAL + "[prune]\nprotect = {a = 1}\n",
            "`prune.protect` must be a list of texts in quotes, not a table",
            None,
        ),
        (MINIMAL + "[prune]\nratio = [[0.1]]\n", "`prune.ratio` must be a list of numbers; it holds a list", None),
        (MINIMAL + "[budget]\nmax_accuracy_drop = nan\n", "must be a finite number", None),
        (MINIMAL + '[quantize]\nmode = "int4"\n', '`quantize.mode` cannot be "int4"', "none, ptq, qat, auto"),
        (MINIMAL + '[bundle]\ninput = "uint8"\n', '`bundle.input` cannot be "uint8"', "float32-nchw, uint8-nhwc"),
        (
            MINIMAL.replace("torchvision/", "transformers/") + '[bundle]\ninput = "uint8-nhwc"\n',
            "`bundle.input` is for pictures; this network reads text",
            "leave it out",
        ),
        (MINIMAL + "[targets]\nnames = []\n", "at least one target", None),
        ('[model]\nname = "resnet18"\n[data]\npath = "d"\n', "edgetune.toml:2: `model.name`", "torchvision/NAME"),
        ('[data]\npath = "d"\n', "`model` is missing", None),
        ('[model]\nweights = "x"\n[data]\npath = "d"\n', "edgetune.toml:1: `name` is missing in [model]", None),
        ("model = 3\n", "[model] must be a table", None),
        (MINIMAL + "[data]\n", "not valid TOML", "toml.io"),
        (MINIMAL + "seed = = 3", "not valid TOML", "toml.io"),
    ],
)
def test_a_bad_recipe_names_file_line_and_remedy(tmp_path, text, message, hint):
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text)
    assert message in caught.value.message
    assert caught.value.exit_code == 2
    if hint:
        assert hint in caught.value.hint


def test_a_missing_recipe_says_how_to_write_one(tmp_path):
    with pytest.raises(RecipeError, match="there is no recipe") as caught:
        load_recipe(tmp_path / "edgetune.toml")
    assert "edgetune init" in caught.value.hint


def test_not_utf8(tmp_path):
    (tmp_path / "edgetune.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(tmp_path)


def test_line_of_finds_headers_dotted_keys_and_inline_tables():
    text = 'seed = 1\n[a]\nb.c = 2\n# x = 1\n[ d . e ]\n"f" = 3\ng = { h = 1 }\n'
    assert line_of(text, ("seed",)) == 1
    assert line_of(text, ("a", "b", "c")) == 3
    assert line_of(text, ("d", "e", "f")) == 6
    assert line_of(text, ("d", "e", "g", "h")) == 7
    assert line_of(text, ("d", "e", "missing")) == 5
    assert line_of(text, ()) is None


toml_values = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
section_names = ["model", "data", "finetune", "prune", "quantize", "budget", "bench", "targets", "seed"]
key_names = ["name", "path", "epochs", "ratio", "mode", "threads", "image_size", "names", "args"]
sections = st.dictionaries(st.sampled_from(key_names), toml_values, max_size=3)


@given(st.dictionaries(st.sampled_from([*section_names, "other"]), st.one_of(sections, toml_values), max_size=5))
def test_any_content_parses_or_is_a_recipe_error(tmp_path_factory, data):
    file = TomlFile(path=tmp_path_factory.getbasetemp() / "edgetune.toml", text="", data=data, error=RecipeError)
    try:
        parse_recipe(file)
    except RecipeError as error:
        assert error.message


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=3))
def test_line_of_never_fails(text, keys):
    line = line_of(text, tuple(keys))
    assert line is None or 1 <= line <= len(text.splitlines())


def test_every_limit_and_choice_names_a_real_key():
    recipe = parse_recipe(
        TomlFile(
            path=__import__("pathlib").Path("edgetune.toml"), text="", data=tomllib.loads(MINIMAL), error=RecipeError
        )
    )
    for section, key in [*CHOICES, *LIMITS]:
        assert hasattr(getattr(recipe, section), key), f"{section}.{key}"


@pytest.mark.parametrize(("section", "key"), list(LIMITS))
def test_what_is_said_of_a_number_tells_its_upper_bound(section, key):
    """Where there is one, it is the largest number of the sentence: allowed, or the first that is not."""
    (test, says), kind = LIMITS[section, key], typing.get_type_hints(typing.get_type_hints(Recipe)[section])[key]
    if "Mapping" in str(kind) or not re.search("int|float", str(kind)):
        return
    several = "tuple" in str(kind)
    holds = (lambda value: test((value,))) if several else test
    if holds(2**62 - 1):
        return
    highest = max(float(number) for number in re.findall(r"\d+(?:\.\d+)?", says))
    assert not holds(highest * 1.001 if kind is not int else int(highest) + 1), says
    assert holds(highest) != ("below" in says), says


def test_every_strategy_of_the_recipe_exists():
    from edgetune.finetune.strategies import STRATEGIES

    assert set(CHOICES["finetune", "strategy"]) == {"auto", *STRATEGIES}


START = '[model]\nname = "a:b"\n[data]\npath = "d"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"seed = 1{'0' * 30}\n{START}", "`seed` has 31 digits"),
        (f"seed = 1{'0' * 5000}\n{START}", "not valid TOML"),
        (f"{START}[finetune]\nlearning_rate = 1{'0' * 400}", "has 401 digits"),
        (f"{START}[finetune]\nwarmup_epochs = 1e308", "from 0 to 10000"),
        (f"{START}x = {'[' * 5000}{']' * 5000}", "nested too deeply|not valid TOML"),
        ('[model]\nname = "a:b"\nargs = {day = 2026-11-21}\n[data]\npath = "d"', "`model.args.day` must be text"),
        ('[model]\nname = "a:b"\nargs = {x = [1, nan]}\n[data]\npath = "d"', "must be a finite number"),
        (f'[model]\nname = "a:b"\nargs = {{x = 1{"0" * 30}}}\n[data]\npath = "d"', r"below 2\^63"),
    ],
)
def test_numbers_and_nesting_beyond_all_bounds(tmp_path, text, says):
    path = tmp_path / "edgetune.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_recipe(path)


def test_text_has_a_rate_of_its_own_and_lora_another(tmp_path):
    text = MINIMAL.replace("torchvision/mobilenet_v2", "transformers/tiny")
    assert load(tmp_path, text).finetune.learning_rate == 1e-4
    assert load(tmp_path, text + '[finetune]\nstrategy = "lora"\n').finetune.learning_rate == 1e-3
    assert load(tmp_path, text).finetune.learning_rate == 1e-4
    written = load(tmp_path, text + '[finetune]\nstrategy = "lora"\nlearning_rate = 2e-4\n').finetune
    assert (written.learning_rate, written.epochs, written.lora_rank) == (2e-4, 4, 8)
