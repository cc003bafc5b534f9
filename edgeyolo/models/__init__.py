"""PyTorch models of both families, with the official state-dict key names."""
