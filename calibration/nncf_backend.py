"""NNCF: what both of its backends that we use have in common."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any

from edgeyolo.calibration.ranges import nncf_estimator
from edgeyolo.calibration.settings import Batches, Int8Settings
from edgeyolo.errors import BackendError, needs, one_line
from edgeyolo.openvino_core import kept_signal_stack


class ActivationScheme(Enum):
    """How activations become 8-bit numbers.

    ASYMMETRIC: A zero-point each, one scale per channel in front of depthwise convolutions.
    ASYMMETRIC_PER_TENSOR: A zero-point each, one scale per tensor.
    SYMMETRIC: Zero-point 0, one scale per tensor; uint8 where nothing is negative.
    """

    ASYMMETRIC = "asymmetric"
    ASYMMETRIC_PER_TENSOR = "asymmetric_per_tensor"
    SYMMETRIC = "symmetric"


def quantize(
    model: Any,
    batches: Batches,
    settings: Int8Settings,
    *,
    scheme: ActivationScheme,
    feed: Callable[[Any], Any],
    float_nodes: Iterable[str],
) -> Any:
    """Quantise a model with bias correction.

    Args:
        model: ``onnx.ModelProto`` or ``openvino.Model``; not changed.
        batches: Calibration input.
        feed: A batch as the model's input takes it.
        float_nodes: Nodes that stay float, named as in *model*.

    Returns:
        The quantised model, of the same type.

    Raises:
        MissingPackageError: NNCF is not installed.
        BackendError: NNCF fails on this graph.
    """
    with needs("nncf", extra="quantize"):
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            QuantizationParameters,
        )
    symmetric = scheme is ActivationScheme.SYMMETRIC
    per_tensor = scheme is not ActivationScheme.ASYMMETRIC
    advanced = AdvancedQuantizationParameters(
        activations_quantization_params=QuantizationParameters(
            per_channel=False if per_tensor else None,
        ),
        activations_range_estimator_params=nncf_estimator(settings.estimator),
    )
    presets = nncf.QuantizationPreset
    with _quiet(), kept_signal_stack():
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(batches, feed),
                # MIXED is symmetric for weights and asymmetric for activations.
                preset=presets.PERFORMANCE if symmetric else presets.MIXED,
                subset_size=len(batches),
                ignored_scope=nncf.IgnoredScope(names=sorted(float_nodes), validate=False),
                advanced_parameters=advanced,
            )
        except Exception as error:
            raise BackendError(f"NNCF cannot quantise this graph: {one_line(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF draws progress bars on stdout, where the results of a command belong."""
    import nncf

    logger = logging.getLogger("nncf")
    level = logger.level
    nncf.set_log_level(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        sys.stdout.flush()
