"""How channels are ranked: {name: module}.

Each module has ``importance()`` (a torch-pruning importance) and ``NEEDS_GRADIENTS``.
"""

CRITERIA = {
    "magnitude": "edgetune.pruning.criteria.magnitude",
    "taylor": "edgetune.pruning.criteria.taylor",
}
