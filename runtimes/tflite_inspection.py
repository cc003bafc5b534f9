"""Facts of a TFLite file, and the fault that ruins most INT8 detectors, without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeyolo.contract import CONTRACT_KEY
from edgeyolo.tflite.graph import Quantization
from edgeyolo.tflite.reader import FileOperator, FileTensor, TfliteFile, read_file

# Operators that move or re-scale numbers without computing new ones.
_PASSING = frozenset(
    {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "CONCATENATION", "STRIDED_SLICE", "SLICE"}
)
_LARGEST_INT8 = 127
_SMALLEST_INT8 = -128


@dataclass(frozen=True, slots=True)
class TfliteFacts:
    """What a file holds.

    Attributes:
        facts: Name -> value.
        findings: Known faults, one line each.
        contract: JSON of the embedded contract, or ``None``.
    """

    facts: Mapping[str, Any]
    findings: tuple[str, ...]
    contract: str | None

    @property
    def sound(self) -> bool:
        return not self.findings


def inspect_tflite(path: Path) -> TfliteFacts:
    """Look into a TFLite file.

    Raises:
        ArtifactError: Damaged, or not a TFLite file.
    """
    file = read_file(path)
    contract = file.metadata.get(CONTRACT_KEY)
    kinds = Counter(operator.kind for operator in file.operators)
    types = Counter(tensor.dtype for tensor in file.tensors if tensor.constant)
    facts = {
        "inputs": [_describe(tensor) for tensor in file.input_tensors],
        "outputs": [_describe(tensor) for tensor in file.output_tensors],
        "operators": dict(kinds.most_common()),
        "weights": dict(types.most_common()),
        "quantized": any(
            tensor.quantization and not tensor.constant and tensor.dtype in ("int8", "uint8")
            for tensor in file.tensors
        ),
    }
    return TfliteFacts(
        facts,
        tuple(_shared_scales(file)),
        contract.decode("utf-8", "replace").rstrip("\0") if contract else None,
    )


def _describe(tensor: FileTensor) -> str:
    text = f"{tensor.name} {tensor.dtype} {tensor.shape}"
    if tensor.quantization is None:
        return text
    return f"{text} scale {tensor.quantization.scales[0]:.6g}"


def _shared_scales(file: TfliteFile) -> Iterator[str]:
    """Where boxes and scores were put into one integer tensor: it has one scale.

    Scores lie in 0..1 behind a sigmoid, boxes are unbounded. A scale made for scores cuts every
    box off at the end of its range; a scale made for boxes rounds every score to 0.
    """
    makers = {index: operator for operator in file.operators for index in operator.outputs}
    for operator in file.operators:
        if operator.kind != "CONCATENATION":
            continue
        tensor = file.tensors[operator.outputs[0]]
        if tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
            continue
        sources = {_source(index, makers) for index in operator.inputs}
        if "LOGISTIC" in sources and len(sources) > 1:
            low, high = _range(tensor.quantization, tensor.dtype)
            yield (
                f"boxes and scores share one scale of {_fraction(tensor.quantization.scales[0])} "
                f"in {tensor.name!r}, which so holds {low:.4g} to {high:.4g}: "
                "this file detects next to nothing; export it with separate outputs"
            )
            # What follows from this tensor inherits the fault; one line says it.
            return


def _source(index: int, makers: Mapping[int, FileOperator]) -> str:
    """Kind of the operator that computed the numbers of a tensor."""
    for _ in range(len(makers) + 1):
        operator = makers.get(index)
        if operator is None:
            return "INPUT"
        if operator.kind not in _PASSING:
            return operator.kind
        index = operator.inputs[0]
    return "CYCLE"


def _range(quantization: Quantization, dtype: str) -> tuple[float, float]:
    scale, zero = quantization.scales[0], quantization.zero_points[0]
    low, high = (_SMALLEST_INT8, _LARGEST_INT8) if dtype == "int8" else (0, 255)
    return scale * (low - zero), scale * (high - zero)


def _fraction(scale: float) -> str:
    inverse = 1.0 / scale
    return (
        f"1/{inverse:.0f}"
        if inverse > 1 and abs(inverse - round(inverse)) < 1e-3
        else f"{scale:.4g}"
    )
