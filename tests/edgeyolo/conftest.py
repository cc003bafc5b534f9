"""A tiny real detector for tests of everything around the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.artifact import save_artifact
from edgeyolo.contract import Contract, InputSpec, OutputSpec, Provenance
from edgeyolo.families import FAMILIES
from edgeyolo.predictor import Predictor
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision

SIDE = 64


def quadrant_model(batch: int, side: int = SIDE) -> onnx.ModelProto:
    """Scores the mean blue, green and red of each quarter of a square canvas."""
    half = side // 2
    boxes = [[x, y, x + half, y + half] for y in (0, half) for x in (0, half)]
    constants = {
        "boxes_of_one": np.array([boxes] * batch, np.float32),
        "scale": np.float32(1 / 255),
        "score_shape": np.array([batch, 4, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["levels"]),
        helper.make_node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["means"], kernel_shape=[half] * 2, strides=[half] * 2
        ),
        helper.make_node("Transpose", ["means"], ["cells"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["cells", "score_shape"], ["scores"]),
        helper.make_node("Identity", ["boxes_of_one"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quadrants",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, (batch, side, side, 3))],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (batch, 4, 4)),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, (batch, 4, 3)),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def quadrant_contract(backend: Backend, entry: str, batch: int, side: int = SIDE) -> Contract:
    return Contract(
        model=ModelSpec(
            family=Family.YOLOX,
            variant="custom",
            class_names=("blue", "green", "red"),
            strides=(32,),
            anchors_px=None,
            preprocess=FAMILIES[Family.YOLOX].preprocess((side, side)),
        ),
        backend=backend,
        precision=Precision.FP32,
        input=InputSpec(
            name="images",
            layout=Layout.NHWC,
            dtype="uint8",
            preprocessed_in_graph=True,
            batch=batch,
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        entry=entry,
        provenance=Provenance(source_name="", source_sha256="", created="", tools={}),
    )


@pytest.fixture
def quadrants(tmp_path: Path) -> Iterator[Callable[..., Predictor]]:
    """``quadrants(backend, batch, side)`` finds the bright quarters of a picture."""
    made: list[Predictor] = []

    def make(backend: Backend = Backend.ONNX, batch: int = 1, side: int = SIDE) -> Predictor:
        file = tmp_path / f"quadrants_{batch}.onnx"
        onnx.save(quadrant_model(batch, side), file)
        if backend is Backend.OPENVINO:
            openvino = pytest.importorskip("openvino")
            source, file = file, file.with_suffix(".xml")
            openvino.save_model(openvino.convert_model(source), file, compress_to_fp16=False)
        contract = quadrant_contract(backend, file.name, batch, side)
        session = RUNTIMES[backend].open(file, contract, SessionOptions(threads=1))
        made.append(
            Predictor(
                session,
                model=contract.model,
                input=contract.input,
                output=contract.output,
                contract=contract,
            )
        )
        return made[-1]

    yield make
    for predictor in made:
        predictor.close()


@pytest.fixture
def quadrant_artifact(tmp_path: Path) -> Path:
    """The same detector as an artifact folder for ONNX Runtime."""
    file = tmp_path / "model.onnx"
    onnx.save(quadrant_model(1), file)
    folder = tmp_path / "quadrants"
    save_artifact(folder, quadrant_contract(Backend.ONNX, file.name, 1), {file.name: file})
    return folder
