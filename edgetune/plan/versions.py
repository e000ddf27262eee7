"""What each step is: its number, and the libraries whose versions change what it makes."""

# Raise a step's number when its code changes what it makes.
VERSIONS = {
    "check_data": 5,
    "check_labels": 3,
    "finetune": 2,
    "folds": 1,
    "fold": 2,  # it fine-tunes as "finetune" does: raise both
    "cross_validate": 1,
    "time_layers": 1,
    "time_encoder": 2,
    "prune": 6,
    "prune_encoder": 1,
    "export": 3,
    "quantize": 7,
    "quantize_dynamic": 4,
    "store_weights": 2,
    "float_layers": 4,
    "qat": 6,
    "qat_dynamic": 1,
    "mend": 4,
    "mix": 4,
    "mix_dynamic": 1,
    "rank_layers": 1,  # by the code of "mix": raise both
    "keep_worst": 1,
    "tokenize": 1,
    "half": 2,
    "pixels": 1,
    "compile": 1,
    "evaluate": 1,
    "measure": 5,
    "select": 14,
    "bundle": 3,
    "validate": 2,
    "lr_find": 1,
    "time_training": 1,
    "forgetting": 1,
    "diagnose": 5,
    "diagnose_dynamic": 2,
}
TRAINING = ("torch", "torchvision")
TEXT_LIBRARIES = ("transformers", "tokenizers")
EXPORTING = ("torch", "onnx", "onnxscript")
