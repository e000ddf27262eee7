"""Pruning in a build: goals in ms, training before and after, steps in the report, and what is refused."""

import pytest
import torch
from torch import nn

import edgetune
from edgetune.errors import PruningError, RecipeError
from edgetune.finetune.state import saved_step
from edgetune.models.checkpoint import NetworkSpec
from edgetune.progress import silent
from edgetune.report.markdown import render_markdown
from edgetune.report.validate import validate
from edgetune.steps import prune, recovery
from edgetune.steps.context import StepContext
from edgetune.steps.prune import speedup_for

EVERYTHING = """
[prune]
target_latency_ms = [GOAL]
sparsity = "KIND"
sparsity_epochs = 1
feature_distillation = 1.0
steps = 2
step_epochs = 1
recovery_epochs = 1
layers = { "3" = 0.5 }
[quantize]
mode = "none"
float_layers = "none"
"""


def with_pruning(project, text):
    recipe = (project / "edgetune.toml").read_text()
    kept = [part for part in ("[" + part for part in recipe.split("\n[")) if not part.startswith(("[prune", "[quant"))]
    (project / "edgetune.toml").write_text("\n".join(kept).removeprefix("[") + text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["growing", "group-lasso"])
def test_a_build_to_a_latency_with_everything_on(project, kind):
    with_pruning(project, "\n[prune]\ntarget_speedup = []\n[quantize]\nmode = 'none'\n")
    unpruned = edgetune.build().data["targets"][0]["baseline"]["latency_ms"]["p50"]
    with_pruning(project, EVERYTHING.replace("GOAL", f"{unpruned / 1.15:.6f}").replace("KIND", kind))
    data = edgetune.build().data
    validate(data)
    pruned = next(c for c in data["targets"][0]["candidates"] if c["name"].startswith("pruned-"))
    assert pruned["status"] == "measured", pruned["reason"]
    assert pruned["pruning_latency_ms"] == pytest.approx(unpruned / 1.15, rel=1e-3)
    assert pruned["parameters"] < data["targets"][0]["baseline"]["parameters"]
    before, first, last = data["pruning"]
    assert (before["step"], first["step"], last["step"]) == (0, 1, 2) and "val_accuracy_sparse" in before
    assert 1 == before["channels_left"] >= first["channels_left"] >= last["channels_left"] < 1
    assert last["layers_ms"] < before["layers_ms"]
    assert all("val_accuracy_pruned" in row for row in (first, last))
    assert len([row for row in data["history"] if row["step"].startswith("prune")]) == 3
    assert "## Pruning, step by step" in render_markdown(data)


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('[prune]\nprotect = ["33"]\n', "prune.protect", "did you mean 3"),
        ('[prune.layers]\nconv = 0.5\n', "prune.layers", "it has 0, 1, 2"),
        ('[quantize]\nkeep_float = ["features.0"]\n', "quantize.keep_float", "it has 0, 1, 2"),
    ],
)  # fmt: skip
def test_a_module_that_is_not_there_is_told_before_anything_is_trained(project, text, key, near):
    with_pruning(project, "\n" + text)
    with pytest.raises(RecipeError, match=f"`{key}` names") as caught:
        edgetune.build()
    assert near in caught.value.hint
    assert not list((project / "store").glob("objects/*/model.safetensors"))


def test_a_latency_that_is_met_already():
    assert speedup_for(2.0, 3.0) == 1.5
    with pytest.raises(PruningError, match=r"takes 1\.9 ms, so 2 ms are met without pruning"):
        speedup_for(2.0, 1.9)


def test_a_teacher_of_another_shape(tmp_path):
    def classifier(classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(12, classes))

    params = {"distillation_weight": 0.5, "distillation_temperature": 2.0, "label_smoothing": 0.0}
    params |= {"learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0, "precision": "fp32", "micro_batch": 0}
    context = StepContext(
        params=params, inputs={}, out=tmp_path, scratch=tmp_path, seed=0, tick=silent, base=tmp_path, data=tmp_path,
        weights=None, cache_mb=0, workers=0,
    )  # fmt: skip
    with pytest.raises(PruningError, match=r"of shape \[2, 4\], the pruned one of \[2, 3\]"):
        recovery.recover(classifier(3), classifier(4), Two(), 1, context, tmp_path / "work")
    assert saved_step(tmp_path / "work") == 0


class Two:
    """Two samples."""

    samples, steps_per_epoch = 2, 1

    def train(self, epoch, start_batch):
        return [(torch.rand(2, 3, 2, 2), torch.tensor([0, 1]))]


def test_what_a_step_has_kept_is_where_the_next_run_goes_on(tmp_path):
    spec = NetworkSpec(name="torchvision/squeezenet1_1", num_classes=3, image_size=32, args={})
    context = StepContext(
        params={"steps": 3}, inputs={}, out=tmp_path, scratch=tmp_path, seed=0, tick=silent, base=tmp_path,
        data=tmp_path, weights=None, cache_mb=0, workers=0,
    )  # fmt: skip
    assert prune._resumed(context) is None
    network = spec.make().eval()
    for part in (0, 1):
        rows = [{"epoch": part + 1}], [{"step": part}]
        prune._keep(prune._State(network, [], part, *rows), spec, context)
    (tmp_path / "step-2").mkdir()  # begun and not finished
    found = prune._resumed(context)
    assert (found.part, found.training, found.curve) == (1, [{"epoch": 2}], [{"step": 1}])
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(found.network(images), network(images))
