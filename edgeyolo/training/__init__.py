"""The trainer: losses, assignments, optimisation, the loop."""
