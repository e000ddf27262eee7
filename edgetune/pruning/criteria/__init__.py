"""How channels are ranked: {name: module}.

Each module has ``importance(network, batches)``, which gives a torch-pruning importance (group -> scores [channels]),
and ``COMPARABLE``: whether scores of different layers mean the same, so that a ranking over all of them is sound.
"""

CRITERIA = {
    "fisher": "edgetune.pruning.criteria.fisher",
    "taylor": "edgetune.pruning.criteria.taylor",
    "magnitude": "edgetune.pruning.criteria.magnitude",
}
