"""Packages for devices and servers, run or opened as their users would."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

import edgeyolo
from edgeyolo import contract as contracts
from edgeyolo.artifact import load_artifact, save_artifact
from edgeyolo.cli.main import group
from edgeyolo.contract import OutputSpec
from edgeyolo.errors import OutputError, UnsupportedError
from edgeyolo.exporters.graph_model import output_names
from edgeyolo.exporters.onnx_exporter import export_onnx, input_spec
from edgeyolo.families import FAMILIES
from edgeyolo.models.deploy import deploy
from edgeyolo.models.zoo import VARIANTS, build
from edgeyolo.openvino_core import new_core
from edgeyolo.packaging import PackageLayout, package
from edgeyolo.packaging.servers import output_shapes, triton_config
from edgeyolo.spec import Backend, Layout, ModelSpec, OutputKind
from tests.edgeyolo.conftest import SIDE, quadrant_contract, quadrant_model

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of one bright quarter each."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[: SIDE // 2, SIDE // 2 :, number] = 255
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def openvino_artifact(folder: Path) -> Path:
    openvino = pytest.importorskip("openvino")
    source, ir = folder / "source.onnx", folder / "detector.xml"
    onnx.save(quadrant_model(1), source)
    openvino.save_model(openvino.convert_model(source), ir, compress_to_fp16=False)
    files = {path.name: path for path in (ir, ir.with_suffix(".bin"))}
    save_artifact(
        folder / "quadrants openvino", quadrant_contract(Backend.OPENVINO, ir.name, 1), files
    )
    return folder / "quadrants openvino"


def run_script(folder: Path, *arguments: object) -> list[dict[str, object]]:
    """Run a package's script from elsewhere, with this tree as the installed edgeyolo."""
    done = subprocess.run(
        [sys.executable, str(folder / "run.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("zipped", [False, True])
def test_the_plain_package_detects_where_it_is_unpacked(
    quadrant_artifact: Path, pictures: Path, tmp_path: Path, zipped: bool
) -> None:
    target = tmp_path / ("packed.zip" if zipped else "packed")
    command = ["package", str(quadrant_artifact), "--output", str(target)]
    result = CliRunner().invoke(group, [*command, *(["--zip"] if zipped else [])])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{target}\n"
    folder = target
    if zipped:
        with zipfile.ZipFile(target) as archive:
            archive.extractall(tmp_path / "elsewhere")
        folder = tmp_path / "elsewhere/packed"
    frames = run_script(folder, pictures, "--save", tmp_path / "drawn")
    with edgeyolo.load(quadrant_artifact) as predictor:
        for number, frame in enumerate(frames):
            picture = cv2.imread(str(pictures / f"{number}.png"))
            assert picture is not None
            expected = predictor.predict(picture).as_dicts()
            assert expected
            assert frame["detections"] == expected
    assert [frame["name"] for frame in frames] == ["0.png", "1.png", "2.png"]
    assert len(list((tmp_path / "drawn").glob("*.jpg"))) == 3


def test_the_script_of_a_package_goes_on_beside_a_dead_display(
    quadrant_artifact: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(quadrant_artifact, tmp_path / "packed", zipped=False)
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert len(run_script(tmp_path / "packed", pictures, "--show")) == 3
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_script(tmp_path / "packed", "no/such.mp4")
    assert failed.value.stderr.startswith("run.py: no/such.mp4 is no file")
    assert failed.value.stderr.count("\n") == 1


def test_the_requirements_are_the_versions_at_hand(quadrant_artifact: Path, tmp_path: Path) -> None:
    package(quadrant_artifact, tmp_path / "packed", zipped=False)
    lines = (tmp_path / "packed/requirements.txt").read_text().splitlines()
    assert f"edgeyolo=={edgeyolo.__version__}" in lines
    assert f"onnxruntime=={importlib.metadata.version('onnxruntime')}" in lines
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f'numpy=={np.__version__}; python_version == "{python}"' in lines
    names = {re.split("[=<> ]", line)[0] for line in lines if not line.startswith("#")}
    assert names == {"edgeyolo", "onnxruntime", "numpy", "msgspec", "click", "opencv-python"}


def asked_for(text: str, python: str, machine: str = "x86_64") -> dict[str, str]:
    """Name -> versions that pip would take of a requirements file, on another computer."""
    elsewhere = {"python_version": python, "platform_machine": machine}
    asked = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    taken = [one for one in asked if one.marker is None or one.marker.evaluate(elsewhere)]
    assert len({one.name for one in taken}) == len(taken), "asked for twice"
    return {one.name: str(one.specifier) for one in taken}


HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_opencv_is_asked_for_under_every_python(
    quadrant_artifact: Path, tmp_path: Path, python: str
) -> None:
    package(quadrant_artifact, tmp_path / "packed", zipped=False)
    asked = asked_for((tmp_path / "packed/requirements.txt").read_text(), python)
    at_hand = importlib.metadata.version("opencv-python")
    assert asked["opencv-python"] == (f"=={at_hand}" if python == HERE else ">=4.8")
    assert ("numpy" in asked) is (python == HERE)
    assert asked["onnxruntime"] == f"=={importlib.metadata.version('onnxruntime')}"


def unbuilt_tensorrt_artifact(folder: Path) -> Path:
    file = folder / "network.onnx"
    onnx.save(quadrant_model(1), file)
    contract = quadrant_contract(Backend.TENSORRT, file.name, 1)
    save_artifact(folder / "artifact", contract, {file.name: file})
    return folder / "artifact"


@pytest.mark.parametrize("python", ["3.10", HERE, "3.12"])
def test_a_jetson_keeps_its_own_opencv(tmp_path: Path, python: str) -> None:
    package(unbuilt_tensorrt_artifact(tmp_path), tmp_path / "packed", zipped=False)
    text = (tmp_path / "packed/requirements.txt").read_text()
    on_jetson = asked_for(text, python, "aarch64")
    assert not [name for name in on_jetson if "opencv" in name]
    # JetPack's OpenCV was built for numpy 1.
    assert on_jetson["numpy"] == "<2"
    assert "python3-opencv" in text
    assert "--system-site-packages" in text
    on_server = asked_for(text, python)
    assert "opencv-python" in on_server
    assert on_server.get("numpy") == (f"=={np.__version__}" if python == HERE else None)


def test_the_readme_says_that_an_engine_has_to_be_built_first(tmp_path: Path) -> None:
    package(unbuilt_tensorrt_artifact(tmp_path), tmp_path / "packed", zipped=False)
    readme = (tmp_path / "packed/README.txt").read_text()
    steps = [line.split() for line in readme.splitlines() if line.startswith("    ")]
    assert [step[:2] for step in steps[:3]] == [
        ["pip", "install"],
        ["edgeyolo", "build"],
        ["python", "run.py"],
    ]
    # The command as it stands there is one.
    edgeyolo_build = CliRunner().invoke(group, ["build", steps[1][2], "--help"])
    assert edgeyolo_build.exit_code == 0


def test_equal_artifacts_make_equal_zips(quadrant_artifact: Path, tmp_path: Path) -> None:
    contents = []
    for folder in ("first", "second"):
        package(quadrant_artifact, tmp_path / folder / "packed.zip", zipped=True)
        contents.append((tmp_path / folder / "packed.zip").read_bytes())
    assert contents[0] == contents[1]


def test_a_lone_file_is_packed_as_an_artifact(tmp_path: Path) -> None:
    model = quadrant_model(1)
    contract = quadrant_contract(Backend.ONNX, "lone.onnx", 1)
    entry = model.metadata_props.add()
    entry.key, entry.value = contracts.CONTRACT_KEY, contracts.encode(contract)
    onnx.save(model, tmp_path / "lone.onnx")
    package(tmp_path / "lone.onnx", tmp_path / "packed", zipped=False)
    artifact = load_artifact(tmp_path / "packed/model")
    assert artifact.entry.read_bytes() == (tmp_path / "lone.onnx").read_bytes()


def test_a_folder_of_somebody_else_is_not_replaced(quadrant_artifact: Path, tmp_path: Path) -> None:
    mine = tmp_path / "packed"
    mine.mkdir()
    (mine / "thesis.tex").write_text("three years of work")
    with pytest.raises(OutputError, match="was not written by this command"):
        package(quadrant_artifact, mine, zipped=False)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    package(quadrant_artifact, tmp_path / "other", zipped=False)
    package(quadrant_artifact, tmp_path / "other", layout=PackageLayout.TRITON, zipped=False)
    assert not (tmp_path / "other/run.py").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_package_that_cannot_be_made_leaves_nothing(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(b"never opened")
    folder = tmp_path / "artifact"
    save_artifact(folder, quadrant_contract(Backend.TFLITE, file.name, 1), {file.name: file})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnsupportedError, match="Triton serves no tflite"):
        package(folder, tmp_path / "packed", layout=PackageLayout.TRITON, zipped=zipped)
    assert sorted(tmp_path.iterdir()) == before


def test_an_engine_that_is_not_built_is_no_model_for_triton(tmp_path: Path) -> None:
    folder = unbuilt_tensorrt_artifact(tmp_path)
    with pytest.raises(UnsupportedError, match="edgeyolo build"):
        package(folder, tmp_path / "packed", layout=PackageLayout.TRITON, zipped=False)


def test_the_triton_repository_names_the_model_like_its_folder(tmp_path: Path) -> None:
    artifact = openvino_artifact(tmp_path)
    package(artifact, tmp_path / "repository", layout=PackageLayout.TRITON, zipped=False)
    model = tmp_path / "repository/quadrants_openvino"
    config = (model / "config.pbtxt").read_text()
    assert 'name: "quadrants_openvino"' in config
    assert 'backend: "openvino"' in config
    assert {path.name for path in (model / "1").iterdir()} == {"model.xml", "model.bin"}
    assert (model / "labels.txt").read_text().split() == ["blue", "green", "red"]
    known = contracts.decode((model / "contract.json").read_text(), origin="package")
    assert known.model == load_artifact(artifact).contract.model


def test_triton_with_openvino_takes_any_number_of_pictures_and_says_what_it_computes_in() -> None:
    contract = quadrant_contract(Backend.OPENVINO, "model.xml", 1)
    any_batch = replace(contract, input=replace(contract.input, batch=None))
    config = triton_config("detector", "openvino", any_batch)
    # With a batch of its own, that backend refuses every call of fewer pictures.
    assert "max_batch_size: 0" in config
    assert "dynamic_batching" not in config
    assert {dims[0] for dims in tensors(config).values()} == {-1}
    # Of precisions it knows bf16 alone, and refuses to load with an unknown value.
    known = {"PERFORMANCE_HINT"}
    assert set(re.findall(r'key: "(\w+)"', config)) == known
    assert "computes in bf16" in config
    assert "KIND_CPU" in config


def test_openvino_runs_the_model_of_the_server_with_its_settings(
    pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    artifact = openvino_artifact(tmp_path)
    package(artifact, tmp_path / "models", layout=PackageLayout.OVMS, zipped=False)
    listed = json.loads((tmp_path / "models/config.json").read_text())["model_config_list"]
    (config,) = [entry["config"] for entry in listed]
    folder = tmp_path / "models" / Path(config["base_path"]).relative_to("/models")
    # The server takes every folder there for a version.
    assert [path.name for path in folder.iterdir()] == ["1"]
    compiled = new_core().compile_model(str(folder / "1/model.xml"), "CPU", config["plugin_config"])
    picture = cv2.imread(str(pictures / "0.png"))
    assert picture is not None
    scores = compiled(picture[None])["scores"]
    assert scores[0].argmax() == 3  # the second quarter, first class


def tensors(config: str) -> dict[str, list[int]]:
    found = re.findall(r'name: "(\w+)" data_type: \w+ dims: \[ ([-\d, ]+) \]', config)
    return {name: [int(side) for side in dims.split(",")] for name, dims in found}


@pytest.mark.parametrize(
    ("name", "form", "batch"),
    [
        ("yolox-nano", OutputKind.DECODED, None),
        ("yolox-nano", OutputKind.RAW, 2),
        ("yolov7-tiny", OutputKind.DECODED, 1),
    ],
)
def test_the_shapes_for_triton_are_those_of_the_graph(
    name: str, form: OutputKind, batch: int | None
) -> None:
    variant = VARIANTS[name]
    model = build(name, 3)
    spec = ModelSpec(
        family=variant.architecture.family,
        variant=variant.architecture.variant,
        class_names=("a", "b", "c"),
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[variant.architecture.family].preprocess((64, 96)),
    )
    graph = export_onnx(deploy(model)[0], spec, form=form, batch=batch)[0].graph
    contract = replace(
        quadrant_contract(Backend.ONNX, "model.onnx", 1),
        model=spec,
        input=input_spec(pixels=True, batch=batch),
        output=OutputSpec(kind=form, names=output_names(spec, form), layout=Layout.NCHW),
    )
    config = triton_config("detector", "onnxruntime", contract)
    for tensor in (*graph.input, *graph.output):
        dims = [axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
        # A dynamic batch is Triton's own axis.
        assert tensors(config)[tensor.name] == (dims[1:] if batch is None else dims)
    assert ("dynamic_batching" in config) is (batch is None)
    assert f"max_batch_size: {8 if batch is None else 0}" in config


def test_rows_after_suppression_vary_in_number() -> None:
    contract = replace(
        quadrant_contract(Backend.ONNX, "model.onnx", 1),
        output=OutputSpec(kind=OutputKind.SUPPRESSED, names=("detections",)),
    )
    assert output_shapes(contract) == [[-1, 7]]
    assert tensors(triton_config("a", "onnxruntime", contract))["detections"] == [-1, 7]
