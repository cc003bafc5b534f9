"""What an Edge TPU would leave to the host, told before its compiler is run.

The compiler maps the operators from the input to the first one that it cannot take; everything
behind runs on the host ("more than one subgraph is not supported"). The list is the one that
Google publishes for its compiler, version 16.
"""

from __future__ import annotations

from edgeyolo.tflite.reader import FileOperator, TfliteFile

_SUPPORTED = frozenset(
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED
    L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
    """.split()  # noqa: SIM905
)
_INTEGERS = frozenset({"int8", "uint8", "int16", "int32"})
_MOST_LISTED = 8


def edgetpu_obstacles(file: TfliteFile) -> tuple[str, ...]:
    """What keeps a file, or parts of it, off an Edge TPU; empty where nothing does.

    Each line names an operator by the tensor that it makes.
    """
    found = []
    for operator in file.operators:
        reason = _reason(file, operator)
        if reason:
            made = file.tensors[operator.outputs[0]].name if operator.outputs else "nothing"
            found.append(f"{operator.kind} making {made!r}: {reason}")
    batches = {tensor.shape[0] for tensor in file.input_tensors if tensor.shape}
    if batches - {1}:
        found.append(f"batch {max(batches)}: an Edge TPU takes one picture at a time")
    hidden = len(found) - _MOST_LISTED
    if hidden > 0:
        found = [*found[:_MOST_LISTED], f"and {hidden} more operators"]
    return tuple(found)


def _reason(file: TfliteFile, operator: FileOperator) -> str | None:
    if operator.kind not in _SUPPORTED:
        return "not among the operators of the Edge TPU"
    tensors = [file.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    floats = [tensor for tensor in tensors if tensor.dtype not in _INTEGERS]
    if floats:
        return f"computes in {floats[0].dtype}, not in integers"
    if operator.kind == "PAD" and len(tensors[0].shape) == 4 and tensors[0].shape[0] != 1:
        return "pads a batch"
    return None
