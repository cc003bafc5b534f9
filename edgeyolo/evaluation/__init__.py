"""Accuracy: COCO AP of checkpoints and artifacts through one code path."""
