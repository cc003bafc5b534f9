"""TFLite model files as data: a small graph, its writer, and a reader that trusts nothing."""
