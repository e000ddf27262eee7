"""Networks that there are not, and strategies that are not for them: refused when a build is planned."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from edgetune import api, pipeline
from edgetune.api.building import make_build_plan
from edgetune.cli import cli
from edgetune.progress import Quiet
from edgetune.store import Store

OWN = '"tiny_network:tiny"'


def write(project, model=OWN, finetune=""):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace(OWN, model).replace("[finetune]\n", f"[finetune]\n{finetune}\n")
    recipe.write_text(text)
    return recipe


@pytest.mark.parametrize(
    ("model", "finetune", "words", "hint"),
    [
        ('"torchvision/mobilenet_v3_smal"', "", "no classification network", "mobilenet_v3_small"),
        ('"timm/resnet1"', "", "timm has no network", "did you mean"),
        ('"tiny_network:tiney"', "", "has no function tiney", "tiny"),
        ('"no_such_module:tiny"', "", "cannot import no_such_module", "PYTHONPATH"),
        (OWN, 'strategy = "lora"', "needs attention with linear layers", '"partial"'),
        ('"torchvision/swin_t"', 'strategy = "lora"\nlora_rank = 1000', "96 wide", "to 96 or less"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "build"])
def test_it_is_refused_before_anything_is_done(project, command, model, finetune, words, hint):
    write(project, model, finetune)
    if model.startswith('"timm'):
        pytest.importorskip("timm")
    done = CliRunner().invoke(cli, [command, "--json"])
    assert done.exit_code == 2
    assert words in done.output and hint in done.output
    assert not list((project / "store").glob("objects/*")) and not (project / "runs").exists()


def test_a_network_in_the_store_is_not_looked_for_again(project, monkeypatch):
    from edgetune.finetune import foresee

    recipe, store = project / "edgetune.toml", Store(project / "store")
    plan, surroundings = make_build_plan(recipe, None)
    steps = tuple(step for step in plan.steps if step.name in ("check_data", "finetune"))
    looked = []
    monkeypatch.setattr(foresee, "check_before_training", looked.append)
    api.plan(recipe)
    assert len(looked) == 1
    pipeline.run(replace(plan, steps=steps, candidates=()), store, surroundings, Quiet())
    api.plan(recipe)
    assert len(looked) == 1
