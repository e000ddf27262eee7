"""Search over compression by real builds, with Optuna; imported only by ``edgetune search``."""
