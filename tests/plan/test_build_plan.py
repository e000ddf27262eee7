"""Plans: what steps there are, what they share, and that private paths stay out of keys."""

import json
from dataclasses import replace
from pathlib import Path

from edgetune.plan import make_plan
from edgetune.plan.as_data import recipe_as_data, recipe_for_bundle
from edgetune.plan.candidates import DEFAULT_RATIOS, DEFAULT_SPEEDUPS, candidate_name, percent
from edgetune.records import (
    BenchSpec,
    BudgetSpec,
    BundleSpec,
    DataSpec,
    Facts,
    FinetuneSpec,
    ModelSpec,
    PruneSpec,
    Pruning,
    QuantizeSpec,
    Recipe,
    TuneSpec,
)
from edgetune.store import step_key
from edgetune.target import load_target

RECIPE = Recipe(
    base=Path("/somewhere/private"),
    model=ModelSpec(name="torchvision/mobilenet_v2", weights="/home/me/w.safetensors"),
    data=DataSpec(path="/home/me/data"),
    prune=PruneSpec(ratio=(0.0, 0.3)),
)


def test_a_search_changes_no_key_and_its_storage_stays_private():
    searched = replace(RECIPE, tune=TuneSpec(trials=3, storage="postgresql://me:secret@host/db", space={"epochs": [1]}))
    before, after = plan_of(), plan_of(searched)
    assert [step_key(step, {}, {}) for step in before.steps] == [step_key(step, {}, {}) for step in after.steps]
    assert "secret" not in json.dumps(recipe_as_data(searched))


def test_an_input_of_pixels_is_a_step_of_its_own_and_changes_nobody_elses_keys():
    def keys(recipe):
        plan = plan_of(recipe, names=("x86-cpu", "jetson", "arm-cpu"))
        return {step.id: step_key(step, {}, {}) for step in plan.steps}

    plain, pixels = keys(RECIPE), keys(replace(RECIPE, bundle=BundleSpec(input="uint8-nhwc")))
    assert keys(replace(RECIPE, bundle=BundleSpec(input="float32-nchw"))) == plain
    assert "bundle" not in recipe_for_bundle(RECIPE)
    training = ("finetune", "prune", "export", "quantize", "half", "float-layers", "check")
    assert all(pixels[name] == key for name, key in plain.items() if name.startswith(training))
    assert all(pixels[name] != key for name, key in plain.items() if name.startswith(("compile", "bundle")))
    assert {name.partition(":")[0] for name in set(pixels) - set(plain)} == {"pixels"}


def test_what_is_compiled_and_prepared_takes_pixels():
    recipe = replace(RECIPE, bundle=BundleSpec(input="uint8-nhwc"))
    for names, here in ((("x86-cpu",), True), (("jetson",), False)):
        plan = plan_of(recipe, names=names, here=here)
        by_id = {step.id: step for step in plan.steps}
        for candidate in plan.candidates:
            step = by_id[candidate.onnx_step]
            assert step.name == "pixels" and by_id[step.inputs["onnx"]].name in ("export", "quantize", "half")
            if candidate.compile_step:
                assert by_id[candidate.compile_step].inputs["onnx"] == candidate.onnx_step


def plan_of(recipe=RECIPE, names=("x86-cpu",), here=True):
    targets = tuple(load_target(name) for name in names)
    why = None if here else "no such machine"
    facts = Facts(
        sources={"data": "d", "weights": "w", "code": "c", "device": "v", "processor": "p"},
        unavailable={t.name: why for t in targets},
    )
    return make_plan(recipe, targets, facts)


def test_what_is_for_lora_alone_changes_no_key_of_another_strategy():
    def keys(**options):
        return [step_key(s, {}, {}) for s in plan_of(replace(RECIPE, finetune=FinetuneSpec(**options))).steps]

    assert keys(lora_rank=2, lora_alpha=1.0) == keys()
    assert not any("lora" in json.dumps(step.params) for step in plan_of().steps)
    assert keys(strategy="lora", lora_rank=2) != keys(strategy="lora")


def ids(plan):
    return [step.id for step in plan.steps]


def test_a_target_gets_float_and_int8_with_and_without_pruning():
    plan = plan_of()
    assert [c.name for c in plan.candidates] == ["float", "int8", "pruned-30", "pruned-30-int8"]
    names = [step.name for step in plan.steps]
    assert names.count("finetune") == 1 and names.count("prune") == 1 and names.count("quantize") == 2
    assert names[-3:] == ["measure", "select", "bundle"]


def test_each_step_comes_after_its_inputs():
    seen = set()
    for step in plan_of(names=("x86-cpu", "x86-cpu-novnni", "arm-cpu")).steps:
        assert all(source.startswith("source:") or source in seen for source in step.inputs.values())
        seen.add(step.id)


def test_two_targets_share_training_but_not_quantization():
    plan = plan_of(names=("x86-cpu", "x86-cpu-novnni"))
    names = [step.name for step in plan.steps]
    assert names.count("finetune") == 1 and names.count("prune") == 1 and names.count("export") == 2
    assert names.count("quantize") == 4


def test_the_baseline_is_there_even_if_the_ratios_leave_it_out():
    plan = plan_of(replace(RECIPE, prune=PruneSpec(ratio=(0.5,)), quantize=QuantizeSpec(mode="none")))
    assert [c.name for c in plan.candidates] == ["float", "pruned-50"]


def test_any_number_of_worst_layers_goes_by_one_ranking_that_times_only_what_runs_here():
    def steps(here=True, **options):
        made = plan_of(replace(RECIPE, quantize=QuantizeSpec(mode="ptq", **options)), here=here)
        return {step.name: step for step in made.steps}

    assert "rank_layers" not in steps() and "settings" not in steps()["quantize"].inputs
    two, four, elsewhere = steps(worst_in_float=2), steps(worst_in_float=4), steps(here=False, worst_in_float=2)
    assert two["rank_layers"] == four["rank_layers"] and two["keep_worst"] != four["keep_worst"]
    assert two["quantize"].inputs["settings"] == two["keep_worst"].id
    assert two["rank_layers"].params["timed"] and "processor" in two["rank_layers"].inputs
    assert not elsewhere["rank_layers"].params["timed"] and "processor" not in elsewhere["rank_layers"].inputs


def test_a_target_that_does_not_run_here_is_exported_and_no_more():
    plan = plan_of(here=False)
    assert not {"compile", "evaluate", "measure", "select", "bundle"} & {step.name for step in plan.steps}
    assert all(c.compile_step is None for c in plan.candidates)


def test_tensorrt_is_given_float16_files_where_their_opset_has_them():
    plan = plan_of(names=("jetson-orin-nano",), here=False)
    assert {c.precision for c in plan.candidates} == {"fp16", "int8"}
    steps = {step.id: step for step in plan.steps}
    assert {steps[c.onnx_step].name for c in plan.candidates} == {"half"}
    assert all(steps[step.inputs["onnx"]].name in ("export", "quantize") for step in plan.steps if step.name == "half")
    older = replace(load_target("jetson-orin-nano"), opset=17)
    facts = Facts(sources=plan.facts.sources, unavailable={older.name: "not here"})
    old = make_plan(RECIPE, (older,), facts)
    assert "half" not in {step.name for step in old.steps}
    assert {c.precision for c in old.candidates} == {"fp16", "int8"}


def keys(plan):
    """Keys with the inputs' digests replaced by their steps' keys: equal keys mean nothing to do again."""
    found = {}
    for step in plan.steps:
        digests = {
            role: plan.facts.sources[source[7:]] if source.startswith("source:") else found[source]
            for role, source in step.inputs.items()
        }
        found[step.id] = step_key(step, digests, {})
    return found


def changed(recipe):
    before, after = keys(plan_of()), keys(plan_of(recipe))
    return {step_id.partition(":")[0] for step_id in after if before.get(step_id) != after[step_id]}


def test_changing_the_bench_measures_again_and_trains_nothing():
    assert changed(replace(RECIPE, bench=BenchSpec(min_runs=500))) == {"measure", "select", "bundle"}


def test_changing_the_budget_only_selects_again():
    assert changed(replace(RECIPE, budget=BudgetSpec(max_accuracy_drop=2.0))) == {"select", "bundle"}


def test_changing_calibration_leaves_training_alone():
    again = changed(replace(RECIPE, quantize=QuantizeSpec(calibration_samples=99)))
    assert "quantize" in again and not again & {"finetune", "prune-30-by-8", "export"}


def test_how_data_is_loaded_is_no_part_of_any_key():
    assert changed(replace(RECIPE, data=replace(RECIPE.data, cache_mb=1, workers=3))) == set()


def test_no_private_path_is_in_any_step():
    text = json.dumps([step.params for step in plan_of().steps], default=str)
    assert "/home/me" not in text and "/somewhere" not in text


def test_names():
    assert percent(0.125) == "12.5" and percent(0.3) == "30"
    assert candidate_name(Pruning(), "fp32") == "float"
    assert candidate_name(Pruning(ratio=0.3), "int8") == "pruned-30-int8"
    assert candidate_name(Pruning(speedup=1.5), "fp32") == "pruned-1.5x"
    assert candidate_name(Pruning(latency_ms=2.5), "int8") == "pruned-2.5ms-int8"


def test_speedups_time_layers_first_and_are_each_targets_own():
    recipe = replace(RECIPE, prune=PruneSpec(target_speedup=(1.5,)))
    plan = plan_of(recipe, names=("x86-cpu", "x86-cpu-novnni"))
    names = [step.name for step in plan.steps]
    assert names.count("time_layers") == 2 and names.count("prune") == 2 and names.count("finetune") == 1
    assert {c.name for c in plan.candidates} == {"float", "int8", "pruned-1.5x", "pruned-1.5x-int8"}


def test_a_latency_is_held_against_the_unpruned_engine_which_bench_does_not_time():
    recipe = replace(RECIPE, prune=PruneSpec(target_latency_ms=(2.5,)))
    plan = plan_of(recipe)
    assert {c.name for c in plan.candidates} == {"float", "int8", "pruned-2.5ms", "pruned-2.5ms-int8"}
    (prune,) = (step for step in plan.steps if step.name == "prune")
    by_id = {step.id: step for step in plan.steps}
    timed = by_id[prune.inputs["engine"]]
    assert timed.name == "measure" and timed.inputs["unpruned"] == "compile:x86-cpu:int8"
    assert prune.params["target_latency_ms"] == 2.5 and prune.params["target_speedup"] is None
    slower = replace(recipe, bench=BenchSpec(min_runs=999))
    assert timed in plan_of(slower).steps and prune in plan_of(slower).steps
    assert not any(c.pruning.asked for c in plan_of(recipe, here=False).candidates)


def test_what_is_pruned_by_default_depends_on_where_layers_can_be_timed():
    recipe = replace(RECIPE, prune=PruneSpec())
    assert {c.pruning.speedup for c in plan_of(recipe).candidates} == {None, *DEFAULT_SPEEDUPS}
    assert {c.pruning.ratio for c in plan_of(recipe, here=False).candidates} == {None, *DEFAULT_RATIOS}
    asked = replace(RECIPE, prune=PruneSpec(target_speedup=(2.0,)))
    assert not any(c.pruning.asked for c in plan_of(asked, here=False).candidates)


def test_bench_changes_no_table_of_layers():
    recipe = replace(RECIPE, prune=PruneSpec())
    other = replace(recipe, bench=BenchSpec(threads=2))
    table = [step for step in plan_of(recipe).steps if step.name == "time_layers"]
    assert table == [step for step in plan_of(other).steps if step.name == "time_layers"]


def test_the_report_tells_no_ones_folders():
    told = recipe_as_data(RECIPE)
    assert told["model"]["weights"] == "w.safetensors" and told["data"]["path"] == "data" and "base" not in told


def test_what_fits_into_memory_when_fine_tuning_holds_for_recovery_too():
    def prune_params(spec):
        return next(s.params for s in plan_of(replace(RECIPE, finetune=spec)).steps if s.name == "prune")

    assert prune_params(FinetuneSpec(micro_batch=8))["micro_batch"] == 8


def test_a_device_changes_the_keys_of_its_target_only():
    targets = (load_target("x86-cpu"), load_target("arm-cpu"))
    sources = {"data": "d", "weights": "w", "code": "c", "device": "v", "processor": "p"}
    facts = Facts(sources={**sources, "device:arm-cpu": "a"}, unavailable=dict.fromkeys(["x86-cpu", "arm-cpu"]))
    by_id = {step.id: step for step in make_plan(RECIPE, targets, facts).steps}
    for name in ("compile:{}:int8", "evaluate:{}:int8", "measure:{}"):
        assert by_id[name.format("x86-cpu")].inputs["device"] == "source:device"
        assert by_id[name.format("arm-cpu")].inputs["device"] == "source:device:arm-cpu"


def test_what_cannot_be_timed_is_compared_and_neither_measured_nor_bundled():
    sources = {"data": "d", "weights": "w", "code": "c", "device": "v", "processor": "p", "device:arm-cpu": "a"}
    facts = Facts(sources=sources, unavailable={"arm-cpu": None}, untimed={"arm-cpu": "it is emulated"})
    names = [step.name for step in make_plan(RECIPE, (load_target("arm-cpu"),), facts).steps]
    assert "evaluate" in names and names[-1] == "select" and not {"measure", "bundle"} & set(names)
