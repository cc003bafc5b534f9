"""Foreign ONNX detectors: a contract supplied by hand, and a decode appended to the graph.

Official and third-party exports of YOLOX and YOLOv7 give one tensor (B, N, 5+C). What its
columns mean depends on options of the exporter that nobody recorded; the user says, and a
check on pictures tells whether the answer can be right.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.contract import InputSpec, OutputSpec
from edgeyolo.errors import CheckpointError, UnsupportedError, one_line
from edgeyolo.exporters.foreign_layouts import FOREIGN_LAYOUTS, Columns
from edgeyolo.exporters.onnx_names import OURS, without_our_names
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Family, Layout, ModelSpec, OutputKind

_OUTPUTS = ("boxes", "scores")
# The first two columns of the foreign output.
CENTRES = f"{OURS}centre"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptRequest:
    """What the user knows of the file.

    Attributes:
        file: The ONNX file.
        family: Whose preprocessing and decode apply.
        class_names: In class-id order.
        columns: Of the output; the family's official export where ``None``.
        legacy: First-release YOLOX weights (RGB, ImageNet mean and std).
    """

    file: Path
    family: Family
    class_names: tuple[str, ...]
    columns: Columns | None = None
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Adopted:
    """The graph with ``boxes`` and ``scores``, and what is to be written about it.

    Attributes:
        columns: What its box columns are taken to be.
    """

    proto: onnx.ModelProto
    spec: ModelSpec
    input: InputSpec
    output: OutputSpec
    columns: Columns

    def with_centres(self) -> onnx.ModelProto:
        """A copy with one more output: the first two columns, (B, N, 2), as ``CENTRES``."""
        proto = copy.deepcopy(self.proto)
        proto.graph.output.append(helper.make_tensor_value_info(CENTRES, TensorProto.FLOAT, None))
        return proto


def adopt(request: AdoptRequest) -> Adopted:
    """Append decode operators to a foreign detector and describe it.

    Raises:
        CheckpointError: Not an ONNX file.
        UnsupportedError: Input or output are not those of a YOLOX or YOLOv7 export.
    """
    proto = _read(request.file)
    *_, input_hw = _input_of(proto, request.file)
    strides, anchors_px = _levels(request.family, proto, request, input_hw)
    rules = FAMILIES[request.family]
    usual, first = rules.preprocess(input_hw), rules.legacy_preprocess(input_hw)
    if request.legacy and first is None:
        raise UnsupportedError("--legacy is about YOLOX weights of release 0.1.0 only")
    spec = ModelSpec(
        family=request.family,
        variant="custom",
        class_names=request.class_names,
        strides=strides,
        anchors_px=anchors_px,
        preprocess=first if request.legacy and first is not None else usual,
    )
    layout = FOREIGN_LAYOUTS[request.family]
    columns = request.columns or layout.columns
    if columns is Columns.LOGITS and not layout.decodable:
        raise UnsupportedError(
            "undecoded columns can be decoded for YOLOX only; export with --grid"
        )
    decoded = _append_decode(without_our_names(proto, frozenset(_OUTPUTS)), spec, columns)
    _check_decoded(decoded, request.file)
    name, batch, _ = _input_of(decoded, request.file)
    return Adopted(
        decoded,
        spec,
        InputSpec(
            name=name,
            layout=Layout.NCHW,
            dtype="float32",
            preprocessed_in_graph=False,
            batch=batch,
        ),
        OutputSpec(kind=OutputKind.DECODED, names=_OUTPUTS),
        columns,
    )


def _read(file: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load(file)
        onnx.checker.check_model(proto)
    except Exception as error:
        # protobuf and the checker raise classes of their own for every kind of damage
        raise CheckpointError(f"{file} is not a sound ONNX file: {one_line(error)}") from error
    return proto


def _input_of(proto: onnx.ModelProto, file: Path) -> tuple[str, int | None, tuple[int, int]]:
    constants = {item.name for item in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    if len(inputs) == 1:
        tensor = inputs[0].type.tensor_type
        sides = [axis.dim_value for axis in tensor.shape.dim]
        if (
            tensor.elem_type == TensorProto.FLOAT
            and len(sides) == 4
            and sides[1] == 3
            and sides[2] > 0
            and sides[3] > 0
        ):
            return inputs[0].name, sides[0] or None, (sides[2], sides[3])
    raise UnsupportedError(
        f"{file} does not take one float32 (B, 3, H, W) tensor of fixed H and W, "
        "as YOLOX and YOLOv7 exports do"
    )


def _levels(
    family: Family, proto: onnx.ModelProto, request: AdoptRequest, input_hw: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[tuple[tuple[float, float], ...], ...] | None]:
    """Strides and anchors, told from the number of boxes."""
    layout = FOREIGN_LAYOUTS[family]
    outputs = proto.graph.output
    shape = [axis.dim_value for axis in outputs[0].type.tensor_type.shape.dim]
    width = 5 + len(request.class_names)
    if len(outputs) != 1 or len(shape) != 3 or shape[2] != width:
        raise UnsupportedError(
            f"{request.file} does not give one (B, N, {width}) tensor for "
            f"{len(request.class_names)} classes but {[list_of(value) for value in outputs]}"
        )
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        cells = sum((input_hw[0] // s) * (input_hw[1] // s) for s in strides)
        if shape[1] == layout.anchors_per_cell * cells:
            return strides, layout.anchors_px.get(len(strides))
    raise UnsupportedError(
        f"{request.file} gives {shape[1]} boxes; {family} at {input_hw[0]}x{input_hw[1]} does not"
    )


def list_of(value: onnx.ValueInfoProto) -> str:
    """``name (1, 3549, 85)``."""
    sides = ", ".join(
        str(axis.dim_value or axis.dim_param or "?") for axis in value.type.tensor_type.shape.dim
    )
    return f"{value.name} ({sides})"


def _append_decode(proto: onnx.ModelProto, spec: ModelSpec, columns: Columns) -> onnx.ModelProto:
    """(B, N, 5+C) to ``boxes`` and ``scores``."""
    result = copy.deepcopy(proto)
    graph = result.graph
    source = graph.output[0].name
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    boxes = sum((spec.input_hw[0] // s) * (spec.input_hw[1] // s) for s in spec.strides)
    boxes *= 1 if spec.anchors_px is None else len(spec.anchors_px[0])

    def constant(name: str, values: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"{OURS}{name}"))
        return f"{OURS}{name}"

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        name = output if output in _OUTPUTS else f"{OURS}{output}"
        made = helper.make_node(operator, inputs, [name], name=f"{OURS}{output}", **attributes)
        graph.node.append(made)
        return name

    def columns_of(start: int, end: int, name: str) -> str:
        return node(
            "Slice",
            [
                source,
                constant(f"{name}_start", np.array([start])),
                constant(f"{name}_end", np.array([end])),
                constant(f"{name}_axis", np.array([2])),
            ],
            name,
        )

    centre = columns_of(0, 2, "centre")
    size = columns_of(2, 4, "size")
    if columns is Columns.LOGITS:
        grid, stride = _grid(spec)
        centre = node("Add", [centre, constant("grid", grid)], "cell")
        centre = node("Mul", [centre, constant("stride", stride)], "centre_px")
        size = node("Mul", [node("Exp", [size], "size_exp"), f"{OURS}stride"], "size_px")
    half = node("Mul", [size, constant("half", np.array(0.5, np.float32))], "half_px")
    corner_a = node("Sub", [centre, half], "corner_a")
    corner_b = node("Add", [centre, half], "corner_b")
    node("Concat", [corner_a, corner_b], "boxes", axis=2)
    objectness = columns_of(4, 5, "objectness")
    if spec.num_classes == 1 and FAMILIES[spec.family].objectness_alone:
        node("Identity", [objectness], "scores")
    else:
        classes = columns_of(5, 5 + spec.num_classes, "classes")
        node("Mul", [objectness, classes], "scores")
    del graph.output[:]
    first = batch.dim_value or batch.dim_param or None
    for name, width in (("boxes", 4), ("scores", spec.num_classes)):
        graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, boxes, width])
        )
    return result


def _check_decoded(proto: onnx.ModelProto, file: Path) -> None:
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        opsets = {item.domain or "ai.onnx": item.version for item in proto.opset_import}
        raise UnsupportedError(
            f"decoding cannot be appended to {file} (opset {opsets.get('ai.onnx')}): "
            f"{one_line(error)}; export it with opset 11 or later"
        ) from error


def _grid(spec: ModelSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(1, N, 2) cell column and row, and (1, N, 1) stride, level by level."""
    grids, strides = [], []
    for stride in spec.strides:
        height, width = spec.input_hw[0] // stride, spec.input_hw[1] // stride
        rows, columns = np.divmod(np.arange(height * width), width)
        grids.append(np.stack((columns, rows), axis=1))
        strides.append(np.full((height * width, 1), stride))
    return (
        np.concatenate(grids)[None].astype(np.float32),
        np.concatenate(strides)[None].astype(np.float32),
    )
