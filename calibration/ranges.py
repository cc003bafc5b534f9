"""How the range of a tensor is estimated from pictures: one vocabulary for all libraries."""

from __future__ import annotations

from enum import Enum
from typing import Any


class RangeEstimator(str, Enum):
    """What becomes of the values that a tensor took on the calibration pictures.

    MIN_MAX: Smallest and largest value over all pictures; nothing is clipped.
    MEAN_MIN_MAX: Mean over the pictures of their smallest and largest values.
    PERCENTILE: Mean over the pictures of their 0.01 and 99.99 percent quantiles.
    MSE: The range that minimises the squared quantisation error over a histogram.
    """

    MIN_MAX = "min-max"
    MEAN_MIN_MAX = "mean-min-max"
    PERCENTILE = "percentile"
    MSE = "mse"

    def __str__(self) -> str:
        return str(self.value)


def nncf_estimator(estimator: RangeEstimator) -> Any:
    """The same in NNCF's words (``RangeEstimatorParameters``)."""
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Sets

    return {
        RangeEstimator.MIN_MAX: Sets.MINMAX,
        RangeEstimator.MEAN_MIN_MAX: Sets.MEAN_MINMAX,
        RangeEstimator.PERCENTILE: Sets.MEAN_QUANTILE,
        RangeEstimator.MSE: Sets.HISTOGRAM,
    }[estimator]
