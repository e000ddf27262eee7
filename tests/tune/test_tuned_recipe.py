"""The recipe that won: the user's own text with other values, in whatever way TOML was written."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import InputError
from edgetune.recipe import load_recipe
from edgetune.tune.tuned_recipe import digest, name_for, refuse_to_overwrite, tuned_text, write

HEAD = '[model]\nname = "torchvision/resnet18"  # small\n[data]\npath = "photos"\n'
SPELLINGS = {
    "a table": f"{HEAD}[finetune]\n# rates\nlearning_rate = 1e-3   # by hand\nbatch_size = 16\n[bench]\nthreads = 2\n",
    "none": HEAD,
    "dotted": f"seed = 3\nfinetune.learning_rate = 0.5 # by hand\n{HEAD}",
    "inline": f"finetune = {{ learning_rate = 0.5, batch_size = 16 }} # by hand\n{HEAD}",
    "quoted": f'{HEAD}["finetune"]\n"learning_rate" = 1_0.0e-2 # by hand\n',
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
@given(
    rate=st.floats(1e-9, 10.0),
    epochs=st.integers(1, 10_000),
    strategy=st.sampled_from(["full", "gradual"]),
)
def test_only_what_won_is_changed(tmp_path_factory, text, rate, epochs, strategy):
    path = tmp_path_factory.mktemp("tuned") / "edgetune.toml"
    path.write_text(text)
    recipe = load_recipe(path)
    changed = {"learning_rate": rate, "epochs": epochs, "strategy": strategy}
    wanted = replace(recipe.finetune, **changed)
    keys = {("finetune", name): value for name, value in changed.items()}
    made = tuned_text(text, keys, "two\nlines", replace(recipe, finetune=wanted), name_for(path))
    assert made.startswith("# two\n# lines\n") and "# small" in made
    assert ("# by hand" in text) == ("# by hand" in made) and ("# rates" in text) == ("# rates" in made)
    write(name_for(path), made)
    tuned = load_recipe(name_for(path))
    assert replace(tuned, finetune=recipe.finetune) == recipe and tuned.finetune == wanted
    before, after = tomllib.loads(text), tomllib.loads(made)
    assert {**before, "finetune": None} == {**after, "finetune": None}


def test_a_file_is_overwritten_only_by_who_wrote_it(tmp_path):
    path = name_for(tmp_path / "edgetune.toml")
    assert path.name == "edgetune.tuned.toml"
    refuse_to_overwrite(path, set())
    write(path, "a = 1\n")
    refuse_to_overwrite(path, {digest("a = 1\n"), digest("b = 1\n")})
    with pytest.raises(InputError, match="not overwritten"):
        refuse_to_overwrite(path, {digest("b = 1\n")})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not overwritten"):
        refuse_to_overwrite(path, set())
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "missing" / "edgetune.tuned.toml", "")
