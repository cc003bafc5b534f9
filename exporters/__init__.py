"""From a PyTorch model to vendor files."""
