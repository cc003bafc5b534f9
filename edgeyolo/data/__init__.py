"""Data sets: reading, validation, augmentation, batches."""
