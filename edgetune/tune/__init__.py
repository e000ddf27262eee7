"""Search of values for ``[finetune]`` on validation, with Optuna; imported only by ``edgetune tune``."""
