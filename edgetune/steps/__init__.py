"""One module per step: thin shells around the rooms. ``STEPS`` maps a step's name to its module.

Each module has ``run(context: StepContext) -> None``, which writes its result under ``context.out``.
"""

STEPS = {
    name: f"edgetune.steps.{name}"
    for name in (
        "check_data",
        "check_labels",
        "tokenize",
        "finetune",
        "folds",
        "fold",
        "cross_validate",
        "time_layers",
        "time_encoder",
        "prune",
        "prune_encoder",
        "export",
        "quantize",
        "quantize_dynamic",
        "store_weights",
        "float_layers",
        "mend",
        "mix",
        "mix_dynamic",
        "rank_layers",
        "keep_worst",
        "qat",
        "qat_dynamic",
        "half",
        "pixels",
        "compile",
        "evaluate",
        "measure",
        "select",
        "bundle",
        "validate",
        "forgetting",
        "lr_find",
        "time_training",
        "diagnose",
        "diagnose_dynamic",
    )
}
