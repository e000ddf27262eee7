"""How the network learns the user's classes: {name: module}. Each has ``parameter_groups(network, weight_decay)``."""

STRATEGIES = {"full": "edgetune.finetune.strategies.full"}
