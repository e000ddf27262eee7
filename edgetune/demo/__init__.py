"""The main job on handwritten digits, with everything in the package: what ``make demo`` runs."""
