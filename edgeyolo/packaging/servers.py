"""Model repositories of inference servers: NVIDIA Triton and OpenVINO Model Server.

A server runs the network; letterbox, decode of raw heads and suppression stay with its client.
What a client must know lies beside the model: ``contract.json`` and ``labels.txt``.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from edgeyolo import contract as contracts
from edgeyolo.contract import Contract
from edgeyolo.errors import UnsupportedError
from edgeyolo.spec import Backend, Layout, OutputKind

# Pictures that Triton may join into one call where the file takes any number.
_MAX_BATCH = 8
_TRITON = {
    Backend.ONNX: ("onnxruntime", "model.onnx"),
    Backend.OPENVINO: ("openvino", "model.xml"),
    Backend.TENSORRT: ("tensorrt", "model.plan"),
}
# The backend hands on a list of parameters of its own, in which the only precision is HINT_BF16;
# any other value of it is refused (triton-inference-server/openvino_backend, README).
_OPENVINO_SETTINGS = [
    "# This backend cannot be told to compute in float32: on a CPU with bf16 (AVX512_BF16, AMX)",
    "# OpenVINO computes in bf16, and numbers differ from those the artifact was checked with.",
    "# Exact on every CPU: the same network exported --to onnx, or OpenVINO Model Server.",
    "instance_group [ { count: 1 kind: KIND_CPU } ]",
    'parameters: { key: "PERFORMANCE_HINT" value: { string_value: "LATENCY" } }',
]
_OVMS = {Backend.OPENVINO: "model.xml", Backend.ONNX: "model.onnx", Backend.TFLITE: "model.tflite"}


def write_triton(folder: Path, name: str, contract: Contract, files: dict[str, Path]) -> None:
    """``NAME/config.pbtxt`` and ``NAME/1/model.*``; *folder* is Triton's repository.

    Raises:
        UnsupportedError: Triton does not serve this backend, or the engine is not built yet.
    """
    if contract.backend not in _TRITON:
        raise UnsupportedError(
            f"Triton serves no {contract.backend} files; export for onnx, openvino or tensorrt"
        )
    if contract.backend is Backend.TENSORRT and contract.build_target is None:
        raise UnsupportedError(
            "this artifact holds no TensorRT engine yet; build it on the device with: "
            "edgeyolo build"
        )
    backend, file_name = _TRITON[contract.backend]
    model = folder / name
    _copy_model(model / "1", file_name, contract, files)
    (model / "config.pbtxt").write_text(triton_config(name, backend, contract), encoding="utf-8")
    _write_knowledge(model, contract)


def write_ovms(folder: Path, name: str, contract: Contract, files: dict[str, Path]) -> None:
    """``config.json`` and ``NAME/1/model.*``; *folder* is mounted as ``/models``.

    Raises:
        UnsupportedError: OpenVINO Model Server does not read this backend's files.
    """
    if contract.backend not in _OVMS:
        raise UnsupportedError(
            f"OpenVINO Model Server reads no {contract.backend} files; export for openvino"
        )
    _copy_model(folder / name / "1", _OVMS[contract.backend], contract, files)
    # It would compute in bf16 wherever the CPU has it; the artifact was checked in float32.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    config = {"name": name, "base_path": f"/models/{name}", "plugin_config": settings}
    text = json.dumps({"model_config_list": [{"config": config}]}, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    # Beside the model's folder: inside it, the server expects versions alone.
    _write_knowledge(folder / f"{name}-client", contract)


def triton_config(name: str, backend: str, contract: Contract) -> str:
    """Text of ``config.pbtxt``, shapes from the contract."""
    batch = contract.input.batch
    suppressed = contract.output.kind is OutputKind.SUPPRESSED
    openvino = contract.backend is Backend.OPENVINO
    # With max_batch_size Triton adds the batch axis itself; rows after suppression have none.
    # Its OpenVINO backend would then take calls of exactly that many pictures only.
    joined = batch is None and not suppressed and not openvino
    leading = [] if joined else [-1 if batch is None else batch]
    height, width = contract.model.input_hw
    picture = [height, width, 3] if contract.input.layout is Layout.NHWC else [3, height, width]
    kind = "TYPE_UINT8" if contract.input.dtype == "uint8" else "TYPE_FP32"
    lines = [
        f'name: "{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {_MAX_BATCH if joined else 0}",
        "input [",
        _tensor(contract.input.name, kind, [*leading, *picture]),
        "]",
        "output [",
        ",\n".join(
            _tensor(output, "TYPE_FP32", shape if suppressed else [*leading, *shape])
            for output, shape in zip(contract.output.names, output_shapes(contract), strict=True)
        ),
        "]",
    ]
    if joined:
        lines.append("dynamic_batching { }")
    if openvino:
        lines += _OPENVINO_SETTINGS
    return "\n".join(lines) + "\n"


def output_shapes(contract: Contract) -> list[list[int]]:
    """Shapes of the outputs for one picture, batch axis left out; -1 where it varies."""
    model = contract.model
    height, width = model.input_hw
    grids = [(height // stride, width // stride) for stride in model.strides]
    anchors = [1] * len(grids)
    if model.anchors_px is not None:
        anchors = [len(level) for level in model.anchors_px]
    if contract.output.kind is OutputKind.SUPPRESSED:
        return [[-1, 7]]
    if contract.output.kind is OutputKind.DECODED:
        cells = sum(
            rows * columns * count for (rows, columns), count in zip(grids, anchors, strict=True)
        )
        return [[cells, 4], [cells, model.num_classes]]
    shapes = []
    for (rows, columns), count in zip(grids, anchors, strict=True):
        for width_of_one in (4, 1, model.num_classes):
            channels = count * width_of_one
            nhwc = contract.output.layout is Layout.NHWC
            shapes.append([rows, columns, channels] if nhwc else [channels, rows, columns])
    return shapes


def _tensor(name: str, kind: str, shape: list[int]) -> str:
    dims = ", ".join(str(side) for side in shape)
    return f'  {{ name: "{name}" data_type: {kind} dims: [ {dims} ] }}'


def _copy_model(folder: Path, file_name: str, contract: Contract, files: dict[str, Path]) -> None:
    folder.mkdir(parents=True)
    entry = files[contract.entry]
    shutil.copyfile(entry, folder / file_name)
    weights = Path(contract.entry).with_suffix(".bin").as_posix()
    if contract.backend is Backend.OPENVINO:
        shutil.copyfile(files[weights], (folder / file_name).with_suffix(".bin"))


def _write_knowledge(folder: Path, contract: Contract) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Its digests are of files that bear other names here.
    text = contracts.encode(dataclasses.replace(contract, files={}), indent=True)
    (folder / "contract.json").write_text(text + "\n", encoding="utf-8")
    labels = "\n".join(contract.model.class_names)
    (folder / "labels.txt").write_text(labels + "\n", encoding="utf-8")
