"""Where networks come from and how they are kept: the zoo, head detection and checkpoints."""
