"""How channels are ranked: {name: module}.

Each module has ``importance(network, batches)``, which gives a torch-pruning importance (group -> scores [channels]),
and ``COMPARABLE``: whether scores of different layers mean the same, so that a ranking over all of them is sound.
"""

CRITERIA = {
    "fisher": "edgetune.pruning.criteria.fisher",
    "taylor": "edgetune.pruning.criteria.taylor",
    "obd": "edgetune.pruning.criteria.obd",
    "magnitude": "edgetune.pruning.criteria.magnitude",
    "magnitude-l1": "edgetune.pruning.criteria.magnitude_l1",
    "lamp": "edgetune.pruning.criteria.lamp",
    "fpgm": "edgetune.pruning.criteria.fpgm",
    "bn-scale": "edgetune.pruning.criteria.bn_scale",
    "random": "edgetune.pruning.criteria.random",
}
