"""How channels are ranked: {name: module}.

Each module has ``importance(network, batches)``, which gives a torch-pruning importance (group -> scores [channels]),
and says of it: ``COMPARABLE``, whether scores of different layers mean the same, so that a ranking over all of them is
sound; ``NORMALIZATION``, what makes them nearly so (``scores.NORMALIZATIONS``; None: it is one itself); and
``REDUCES``, whether it scores each layer of a group by itself, so that ``importance`` also takes how these become one.
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
