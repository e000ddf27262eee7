"""How the network learns the user's classes: {name: module}.

A strategy has ``first_stage(head, epoch, epochs, stages)``: the lowest stage (0 is the input's) that learns in
the 0-based ``epoch``; ``head`` is the number of the last stage. One that needs no epochs has ``learn`` instead,
with the arguments of ``trainer.train``. ``auto`` chooses one of the others (``auto.choose``).
"""

STRATEGIES = {
    "full": "edgetune.finetune.strategies.full",
    "partial": "edgetune.finetune.strategies.partial",
    "gradual": "edgetune.finetune.strategies.gradual",
    "feature-extraction": "edgetune.finetune.strategies.feature_extraction",
}
