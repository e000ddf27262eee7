"""What can be told of a recipe's network before anything is trained: that it cannot be made, or not trained so."""

from edgetune.errors import RecipeError, TrainingError
from edgetune.finetune.strategies import lora
from edgetune.models.names import CLASSES, check_names
from edgetune.models.zoo import check_name, make_network
from edgetune.records import Recipe


def check_before_training(recipe: Recipe) -> None:
    """Look for the network, the modules that ``recipe`` names and what its strategy needs; makes it only for these.

    Of encoders, whose files are looked at elsewhere, only the modules that are named.

    Raises:
        ModelError: there is no such network. RecipeError: it has no such modules, or its strategy is not for it.
    """
    model, finetune = recipe.model, recipe.finetune
    if recipe.reads_text:
        check_names(recipe)
        return
    check_name(model.name, recipe.base)
    check_names(recipe)
    if finetune.strategy == "lora":
        network = make_network(model.name, CLASSES, model.args, recipe.base)
        try:
            lora.adapt(network, finetune.lora_rank, finetune.lora_alpha, recipe.seed)
        except TrainingError as problem:
            raise RecipeError(problem.message, hint=problem.hint) from problem
