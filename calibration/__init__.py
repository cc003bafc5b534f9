"""Calibration pictures to ranges to INT8, with an accuracy budget."""
