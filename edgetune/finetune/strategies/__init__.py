"""How the network learns the user's classes: {name: module}.

A strategy has ``first_stage(head, epoch, epochs, stages)``: the lowest stage (0 is the input's) that learns in
the 0-based ``epoch``; ``head`` is the number of the last stage. One that needs no epochs has ``learn`` instead,
with the arguments of ``trainer.train``. One that trains weights of its own has ``adapt(network, rank, alpha, seed)``,
which adds them and returns their names (they and the head then learn, nothing else), and ``merge(network)``, which
leaves a network of the modules there were before. ``auto`` chooses one of the others (``auto.choose``).
"""

STRATEGIES = {
    "full": "edgetune.finetune.strategies.full",
    "partial": "edgetune.finetune.strategies.partial",
    "gradual": "edgetune.finetune.strategies.gradual",
    "lora": "edgetune.finetune.strategies.lora",
    "feature-extraction": "edgetune.finetune.strategies.feature_extraction",
}
