"""Chooses what a build makes next, by what was measured on the target so far."""
