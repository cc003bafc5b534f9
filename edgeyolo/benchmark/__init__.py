"""Several artifacts on the same frames, in turns: speed, memory, accuracy, and a report."""
