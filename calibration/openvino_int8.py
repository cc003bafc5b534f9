"""INT8 for OpenVINO: NNCF on a converted graph, whose Swish is one operator.

NNCF must see Swish fused: in a graph that ``read_model`` returns, SiLU is still
x * sigmoid(x), quantisers get inside it, and YOLOX-Nano loses 9 to 14 AP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeyolo.calibration.graph_facts import prediction_and_decode
from edgeyolo.calibration.nncf_backend import ActivationScheme, quantize
from edgeyolo.calibration.settings import Batches, Int8Settings

if TYPE_CHECKING:
    import onnx


def quantize_openvino(
    converted: Any, source: onnx.ModelProto, batches: Batches, settings: Int8Settings
) -> Any:
    """An ``openvino.Model`` with FakeQuantize operators and int8 weights.

    Depthwise convolutions are in int8, too, with a scale per channel of their input: the fastest
    form within the budget of accuracy, if by little. Their kernels gain nothing, but left in float
    they want a conversion in front and one behind (of YOLOX-Nano's FP32 time .64 is left then, .63
    without; OpenVINO 2026.4, AVX512 VNNI, one thread). Ranges of the smallest squared error keep
    its accuracy all the same (drop .0004), where those of mean extremes lose .0062.

    Args:
        converted: *source* as ``openvino.convert_model`` returns it; not changed.
        source: The float graph with uint8 NHWC pixels as input.
        batches: Calibration input.

    Raises:
        MissingPackageError: NNCF is not installed.
        BackendError: NNCF fails on this graph.
    """
    decode = operators_of(converted, set(prediction_and_decode(source)))
    quantized = quantize(
        converted.clone(),
        batches,
        settings,
        scheme=ActivationScheme.ASYMMETRIC,
        feed=lambda pixels: pixels,
        float_nodes=operators_of(converted, set(settings.float_layers))
        | _with_all_behind(converted, decode),
    )
    _make_pixels_exact(quantized)
    return quantized


def operators_of(converted: Any, source_names: set[str]) -> set[str]:
    """Friendly names of the operators that came from nodes of the ONNX graph.

    A node that becomes several operators lends its name to the last; the others carry it in
    front of a slash (``conv/WithoutBiases``).
    """
    found = set()
    for operator in converted.get_ops():
        name = operator.get_friendly_name()
        parts = name.split("/")
        prefixes = {"/".join(parts[: end + 1]) for end in range(len(parts))}
        if prefixes & source_names:
            found.add(name)
    return found


def _with_all_behind(converted: Any, names: set[str]) -> set[str]:
    """*names*, and the operators all of whose computed inputs are among them.

    The last operators of a graph bear the names of its outputs, not those of their nodes.
    """
    reached = set(names)
    for operator in converted.get_ordered_ops():
        if operator.get_type_name() in ("Constant", "Parameter", "Result"):
            continue
        inputs = [
            value.get_source_output().get_node()
            for value in operator.inputs()
            if value.get_source_output().get_node().get_type_name() != "Constant"
        ]
        if inputs and all(node.get_friendly_name() in reached for node in inputs):
            reached.add(operator.get_friendly_name())
    return reached


def _make_pixels_exact(quantized: Any) -> None:
    """Give the quantiser of the pixels the range 0..255: steps of exactly one grey level."""
    import numpy as np
    from openvino import opset13

    for operator in quantized.get_ops():
        if operator.get_type_name() != "FakeQuantize":
            continue
        source = operator.input_value(0).get_node()
        while source.get_type_name() in ("Convert", "Transpose", "Gather"):
            source = source.input_value(0).get_node()
        if source.get_type_name() != "Parameter":
            continue
        for port, limit in ((1, 0.0), (2, 255.0), (3, 0.0), (4, 255.0)):
            constant = opset13.constant(np.full((1, 1, 1, 1), limit, np.float32))
            operator.input(port).replace_source_output(constant.output(0))
