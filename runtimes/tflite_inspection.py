"""What a ``.tflite`` file is and whether it can work, without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeyolo.contract import CONTRACT_KEY
from edgeyolo.tflite.edgetpu import edgetpu_obstacles
from edgeyolo.tflite.graph import Quantization
from edgeyolo.tflite.reader import FileOperator, FileTensor, TfliteFile, read_file

# Operators that only move values: what they hold is what their inputs held.
_MOVERS = frozenset(
    {"CONCATENATION", "DEQUANTIZE", "QUANTIZE", "RESHAPE", "SPLIT", "SPLIT_V", "SQUEEZE"}
    | {"TRANSPOSE", "PAD", "STRIDED_SLICE", "SLICE", "EXPAND_DIMS"}
)
_QUANTIZED = frozenset({"int8", "uint8", "int16"})
_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


@dataclass(frozen=True, slots=True)
class TfliteInspection:
    """The result.

    Attributes:
        contract: The contract's JSON, or ``None``.
        facts: What the file is, ready for JSON.
        findings: What is wrong or unwise, one line each.
        sound: False where a finding means that it cannot detect anything.
    """

    contract: str | None
    facts: Mapping[str, Any]
    findings: tuple[str, ...]
    sound: bool


def inspect_tflite(path: Path) -> TfliteInspection:
    """Look at a file.

    Raises:
        ArtifactError: It is no TFLite file, or damaged.
    """
    file = read_file(path)
    fatal = _shared_scales(file)
    text = file.metadata.get(CONTRACT_KEY)
    return TfliteInspection(
        contract=None if text is None else text.decode(errors="replace"),
        facts=_facts(path, file),
        findings=(*fatal, *_cautions(file)),
        sound=not fatal,
    )


def _facts(path: Path, file: TfliteFile) -> dict[str, Any]:
    kinds = Counter(operator.kind for operator in file.operators)
    integer = sum(_is_integer(file, operator) for operator in file.operators)
    obstacles = edgetpu_obstacles(file)
    return {
        "bytes": path.stat().st_size,
        "inputs": [_tensor_facts(tensor) for tensor in file.input_tensors],
        "outputs": [_tensor_facts(tensor) for tensor in file.output_tensors],
        "operators": dict(kinds.most_common()),
        "integer_operators": integer,
        "float_operators": len(file.operators) - integer,
        "edgetpu_obstacles": list(obstacles),
    }


def _tensor_facts(tensor: FileTensor) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
    }
    if tensor.quantization is not None:
        facts["scale"] = tensor.quantization.scales[0]
        facts["zero_point"] = tensor.quantization.zero_points[0]
    return facts


def _is_integer(file: TfliteFile, operator: FileOperator) -> bool:
    return any(file.tensors[index].dtype in _QUANTIZED for index in operator.outputs)


def _shared_scales(file: TfliteFile) -> list[str]:
    """Quantised tensors on the way to an output that hold both pixels and probabilities."""
    makers = {index: operator for operator in file.operators for index in operator.outputs}
    findings = []
    for output in file.outputs:
        for index in _moved_through(file, makers, output):
            tensor = file.tensors[index]
            sources = {makers[leaf].kind for leaf in _leaves(file, makers, index) if leaf in makers}
            probabilities = "LOGISTIC" in sources or "SOFTMAX" in sources
            others = sources - {"LOGISTIC", "SOFTMAX"}
            if tensor.dtype in _QUANTIZED and tensor.quantization and probabilities and others:
                findings.append(
                    _shared_scale(file.tensors[output].name, tensor, tensor.quantization)
                )
                break
    outputs = [tensor for tensor in file.output_tensors if tensor.quantization is not None]
    named = {tensor.name: tensor for tensor in outputs}
    if {"boxes", "scores"} <= set(named):
        boxes, scores = named["boxes"], named["scores"]
        if boxes.quantization == scores.quantization and boxes.quantization is not None:
            findings.append(_shared_scale("boxes and scores", boxes, boxes.quantization))
    return findings


def _shared_scale(output: str, tensor: FileTensor, numbers: Quantization) -> str:
    scale, zero_point = numbers.scales[0], numbers.zero_points[0]
    lowest, highest = {"int8": (-128, 127), "uint8": (0, 255)}.get(tensor.dtype, (-32768, 32767))
    low, high = ((stored - zero_point) * scale for stored in (lowest, highest))
    written = f"1/{round(1 / scale)}" if scale < 1 else f"{scale:.4g}"
    # Box terms reach tens to hundreds, scores have their meaning in steps of a hundredth.
    if high < 8:
        harm = f"boxes are cut off to {low:.3g}..{high:.3g}"
    elif scale > 0.02:
        harm = f"scores are rounded to steps of {scale:.3g}"
    else:
        harm = "boxes and scores are both rounded"
    return (
        f"boxes and scores share one scale of {written} in output {output!r} ({tensor.dtype}): "
        f"{harm}, so the file detects next to nothing; export it again with edgeyolo, "
        "which keeps them in two tensors"
    )


def _moved_through(file: TfliteFile, makers: Mapping[int, FileOperator], output: int) -> list[int]:
    """The output and the tensors whose values it holds, nearest first."""
    waiting, seen = [output], []
    while waiting:
        index = waiting.pop(0)
        if index in seen:
            continue
        seen.append(index)
        if index in makers and makers[index].kind in _MOVERS:
            waiting += [i for i in makers[index].inputs if i >= 0 and not file.tensors[i].constant]
    return seen


def _leaves(file: TfliteFile, makers: Mapping[int, FileOperator], output: int) -> list[int]:
    """Tensors with values of their own that a moved tensor is put together from."""
    return [
        index
        for index in _moved_through(file, makers, output)
        if index not in makers or makers[index].kind not in _MOVERS
    ]


def _cautions(file: TfliteFile) -> list[str]:
    findings = []
    custom = sorted({o.kind for o in file.operators if o.kind.startswith("CUSTOM:")})
    if custom:
        findings.append(f"needs operators that LiteRT lacks: {', '.join(custom)}")
    moves = sum(operator.kind == "TRANSPOSE" for operator in file.operators)
    if moves > 4:
        findings.append(f"{moves} TRANSPOSE operators: converted from channels-first, slower")
    coarse = 0
    for operator in file.operators:
        # A damaged file may have a convolution without weights, or with weights of no dimension.
        if operator.kind in _CONVOLUTIONS and min(operator.inputs[1:2], default=-1) >= 0:
            weights = file.tensors[operator.inputs[1]]
            numbers = weights.quantization
            single = numbers is not None and len(numbers.scales) == 1
            coarse += single and max(weights.shape[:1] + weights.shape[-1:], default=1) > 1
    if coarse:
        findings.append(f"{coarse} convolutions have one weight scale for all channels")
    return findings
