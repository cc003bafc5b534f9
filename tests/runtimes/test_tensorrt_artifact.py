"""From networks to an engine artifact, on every version's double and for real with RTX."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_array_equal

from edgeyolo.artifact import Artifact, load_artifact, save_artifact, write_contract
from edgeyolo.benchmark.messages import Open, Run, Times, Turn
from edgeyolo.benchmark.worker import Worker
from edgeyolo.contract import BuildTarget, Thresholds, encode, seal_document
from edgeyolo.errors import (
    ArtifactError,
    BackendError,
    BuildTargetError,
    MissingPackageError,
    UnsupportedError,
)
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.nms_rows_graph import append_suppression_rows
from edgeyolo.exporters.tensorrt_build import BuildRequest, build
from edgeyolo.exporters.tensorrt_builder import BatchRange
from edgeyolo.exporters.tensorrt_files import RTX, STRONG, WEAK, write_networks
from edgeyolo.exporters.tensorrt_flags import Typing
from edgeyolo.exporters.tensorrt_memory import available_system_mib, plan_memory
from edgeyolo.exporters.tensorrt_recipe import RECIPE_FILE, read_recipe
from edgeyolo.predictor import load
from edgeyolo.runtimes.tensorrt_modules import pick_tensorrt
from edgeyolo.spec import Backend, Precision
from tests.doubles.tensorrt_double import VERSIONS, recorded_tensorrt
from tests.doubles.tiny_detector import HW, tiny_contract, tiny_detector

FRAME = np.random.default_rng(1).integers(0, 256, (HW, HW, 3), np.uint8)


def ready(
    folder: Path,
    precision: Precision = Precision.FP32,
    batch: int | None = 1,
    *,
    suppressed: bool = False,
) -> Artifact:
    """An artifact as ``edgeyolo export --to tensorrt`` leaves it."""
    network = tiny_detector(batch, quantised=precision is Precision.INT8)
    contract = tiny_contract(STRONG, batch=batch, precision=precision)
    rtx_network = None
    if suppressed:
        rtx_network = append_suppression_rows(network, Thresholds())
        network = append_suppression(network, Thresholds())
        contract = dataclasses.replace(contract, output=suppressed_output())
    source = folder.parent / f"{folder.name}-files"
    source.mkdir()
    names, _ = write_networks(
        source,
        network,
        precision,
        batches=[FRAME[None]],
        batch=None if batch else BatchRange(1, 2, 4),
        rtx_network=rtx_network,
    )
    return save_artifact(folder, contract, {name: source / name for name in names})


@pytest.fixture
def rtx() -> str:
    """Skips where TensorRT for RTX is not installed."""
    try:
        return pick_tensorrt("tensorrt_rtx").name
    except MissingPackageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_artifact_is_built_loaded_and_run_on_every_version(
    version: str,
    precision: Precision,
    libcuda: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = recorded_tensorrt(version, libcuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    ready(tmp_path / "tiny", precision, batch=None)
    result = build(BuildRequest(folder=tmp_path / "tiny", timing_cache=tmp_path / "cache"))
    weak = version == "8.6.1"
    assert result.engine.typing is (Typing.WEAK if weak else Typing.STRONG)
    assert result.artifact.contract.build_target == BuildTarget(
        module="tensorrt",
        version=version,
        gpu="Double GPU",
        compute_capability="8.7",
        driver="12.6",
        platform=os.uname().machine,
        system="Linux",
        multiprocessors=8,
    )
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".timings"]
    with load(tmp_path / "tiny") as predictor:
        outputs = [array.copy() for array in predictor.session.run(FRAME[None])]
        assert len(predictor.predict_batch([FRAME] * 3)) == 3
        alone = predictor.predict(FRAME)
    with load(tmp_path / "tiny", cuda_graph=True) as replaying:
        for _ in range(4):
            assert_array_equal(replaying.predict(FRAME).boxes_xyxy, alone.boxes_xyxy)
    network = tmp_path / "tiny" / (WEAK if weak and precision is not Precision.FP32 else STRONG)
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    for found, wanted in zip(outputs, session.run(None, {"images": FRAME[None]}), strict=True):
        assert_array_equal(found, wanted)


def test_the_benchmark_measures_bare_without_copies_and_the_stages_with_them(
    libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt("10.3.0", libcuda))
    ready(tmp_path / "tiny")
    build(BuildRequest(folder=tmp_path / "tiny"))
    source = "pattern:64x48#2"
    worker = Worker(Open(str(tmp_path / "tiny"), source, frames=2, device="auto", threads=None))

    def copies_and_calls(turn: Turn, stage: str) -> tuple[int, int]:
        before = libcuda.double_copies()
        answer = worker.answer(Run(turn, 0.05))
        assert isinstance(answer, Times)
        return libcuda.double_copies() - before, len(answer.times_ms[stage])

    per_call = 3  # a picture to the GPU, boxes and scores from it
    copies, calls = copies_and_calls(Turn.BARE, "bare")
    assert calls > 1
    assert copies == per_call, "only the picture's first call"
    copies, calls = copies_and_calls(Turn.STAGES, "network")
    assert copies == per_call * (calls + 1)
    worker._predictor.close()


@pytest.mark.parametrize("cache", ["a-file/cache", "a-folder"])
def test_timings_that_cannot_be_kept_cost_no_engine(
    cache: str, libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt("10.3.0", libcuda))
    ready(tmp_path / "tiny")
    (tmp_path / "a-file").touch()
    name = "tensorrt-10.3.0-Double_GPU-8.timings"
    (tmp_path / "a-folder" / name / "full").mkdir(parents=True)
    result = build(BuildRequest(folder=tmp_path / "tiny", timing_cache=tmp_path / cache))
    assert "kernel timings were not kept: cannot write" in result.engine.warnings[-1]
    load(tmp_path / "tiny").close()


def test_a_gpu_that_was_asked_for_must_be_there(
    rtx: str, libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ready(tmp_path / "tiny").folder
    with pytest.raises(BackendError, match=r"no GPU 1; the driver sees 1; leave out --gpu"):
        build(BuildRequest(folder=folder, module=rtx, gpu=1))
    monkeypatch.setenv("DOUBLE_CUDA_DEVICES", "0")
    with pytest.raises(BackendError, match=r"no NVIDIA GPU was found.*leave out --gpu"):
        build(BuildRequest(folder=folder, module=rtx, gpu=0))
    said: list[str] = []
    build(BuildRequest(folder=folder, module=rtx), said.append)
    assert said[0].startswith("building without a GPU: no NVIDIA GPU was found")


@pytest.mark.parametrize("version", VERSIONS)
def test_suppression_in_the_graph_gives_rows_of_any_number(
    version: str, libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt(version, libcuda))
    ready(tmp_path / "rows", suppressed=True)
    ready(tmp_path / "host")
    for name in ("rows", "host"):
        build(BuildRequest(folder=tmp_path / name))
    with load(tmp_path / "rows") as in_graph, load(tmp_path / "host") as on_host:
        for seed in range(4):
            frame = np.random.default_rng(seed).integers(0, 256, (HW, HW, 3), np.uint8)
            found, wanted = in_graph.predict(frame), on_host.predict(frame)
            assert len(wanted) > 0
            assert_array_equal(found.boxes_xyxy, wanted.boxes_xyxy)
            assert_array_equal(found.scores, wanted.scores)
            assert_array_equal(found.class_ids, wanted.class_ids)


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("precision", Precision)
def test_rtx_builds_suppression_from_a_network_of_its_own(
    precision: Precision, batch: int | None, rtx: str, tmp_path: Path
) -> None:
    ready(tmp_path / "tiny", precision, batch, suppressed=True)
    result = build(BuildRequest(folder=tmp_path / "tiny", module=rtx))
    assert result.artifact.contract.output.names == ("detections",)
    assert (tmp_path / "tiny" / RTX).exists()
    (tmp_path / "tiny" / RTX).write_bytes(b"altered")
    with pytest.raises(ArtifactError, match=r"network_rtx\.onnx was altered"):
        build(BuildRequest(folder=tmp_path / "tiny", module=rtx))


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("precision", Precision)
def test_rtx_builds_an_artifact_without_a_gpu(
    precision: Precision, batch: int | None, rtx: str, tmp_path: Path
) -> None:
    ready(tmp_path / "tiny", precision, batch)
    build(BuildRequest(folder=tmp_path / "tiny", module=rtx))
    artifact = load_artifact(tmp_path / "tiny")
    target = artifact.contract.build_target
    assert target is not None
    assert (target.module, target.gpu, target.compute_capability) == (rtx, None, None)
    assert artifact.entry.suffix == ".engine"
    assert artifact.contract.provenance.tools[rtx] == target.version
    assert (tmp_path / "tiny" / STRONG).exists(), "the network stays, to rebuild from"


def test_rtx_builds_for_turing_alone_where_that_is_the_gpu(
    rtx: str, libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(tmp_path / "tiny")
    build(BuildRequest(folder=tmp_path / "tiny", module=rtx))
    everywhere = load_artifact(tmp_path / "tiny").contract.build_target
    assert everywhere is not None
    monkeypatch.setenv("DOUBLE_CUDA_CAPABILITY", "7.5")
    with pytest.raises(BuildTargetError, match=r"8\.6 and later, here 7\.5"):
        load(tmp_path / "tiny")
    build(BuildRequest(folder=tmp_path / "tiny", module=rtx))
    turing = load_artifact(tmp_path / "tiny").contract.build_target
    assert turing == dataclasses.replace(everywhere, compute_capability="7.5", driver="12.6")


def test_an_orin_nano_is_no_orin_nx_though_both_are_called_orin(
    libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt("10.3.0", libcuda))
    ready(tmp_path / "tiny")
    build(BuildRequest(folder=tmp_path / "tiny"))
    monkeypatch.setenv("DOUBLE_CUDA_MULTIPROCESSORS", "4")
    with pytest.raises(BuildTargetError, match=r"\(multiprocessors 8, here 4\); rebuild it here"):
        load(tmp_path / "tiny")
    contract = json.loads((tmp_path / "tiny/artifact.json").read_text())
    del contract["build_target"]["multiprocessors"]
    (tmp_path / "tiny/artifact.json").write_text(seal_document(contract))
    load(tmp_path / "tiny").close()


def test_building_again_replaces_the_engine_even_a_damaged_one(rtx: str, tmp_path: Path) -> None:
    ready(tmp_path / "tiny")
    first = build(BuildRequest(folder=tmp_path / "tiny", module=rtx)).artifact
    first.entry.write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="altered"):
        load_artifact(tmp_path / "tiny")
    build(BuildRequest(folder=tmp_path / "tiny", module=rtx, optimization_level=0))
    again = load_artifact(tmp_path / "tiny")
    assert len(list(again.folder.glob("*.engine"))) == 1
    assert again.entry.stat().st_size > 1000


def test_a_build_that_fails_leaves_the_artifact_as_it_was(rtx: str, tmp_path: Path) -> None:
    ready(tmp_path / "tiny", batch=None)
    build(BuildRequest(folder=tmp_path / "tiny", module=rtx))
    before = {p.name: p.read_bytes() for p in (tmp_path / "tiny").iterdir()}
    with pytest.raises(UnsupportedError, match="has no DLA"):
        build(BuildRequest(folder=tmp_path / "tiny", module=rtx, dla_core=0))
    assert {p.name: p.read_bytes() for p in (tmp_path / "tiny").iterdir()} == before


def test_measurements_of_the_old_engine_are_dropped_and_parity_of_the_network_stays(
    rtx: str, tmp_path: Path
) -> None:
    artifact = ready(tmp_path / "tiny")
    text = json.loads(encode(artifact.contract))
    text["measured"] = {
        "parity": {
            "passed": True, "images": 1, "image_source": "x", "reference": 1, "matched": 1,
            "extra": 0, "max_box_error_px": 0, "max_score_error": 0, "mean_iou": 1,
        },
        "latency": {"network_ms": 1, "batch": 1, "device": "another", "threads": None},
    }  # fmt: skip
    (artifact.folder / "artifact.json").write_text(seal_document(text))
    measured = build(BuildRequest(folder=tmp_path / "tiny", module=rtx)).artifact.contract.measured
    assert measured.parity is not None
    assert measured.latency is None


def test_a_network_that_was_altered_is_not_built_from(rtx: str, tmp_path: Path) -> None:
    artifact = ready(tmp_path / "tiny")
    path = artifact.folder / STRONG
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match=r"network\.onnx was altered"):
        build(BuildRequest(folder=tmp_path / "tiny", module=rtx))


@pytest.mark.parametrize("name", [STRONG, RECIPE_FILE])
def test_a_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    artifact = ready(tmp_path / "tiny")
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        build(BuildRequest(folder=tmp_path / "tiny"))


def test_a_recipe_that_is_damaged_or_of_another_schema_is_refused(tmp_path: Path) -> None:
    folder = ready(tmp_path / "tiny").folder
    (folder / RECIPE_FILE).write_text('{"strong": "a", "weak": "b", "schema": 9}')
    with pytest.raises(ArtifactError, match="schema 9, this version reads 1"):
        read_recipe(folder)
    (folder / RECIPE_FILE).write_text("{")
    with pytest.raises(ArtifactError, match="is damaged"):
        read_recipe(folder)


def test_an_artifact_of_another_backend_needs_no_build(tmp_path: Path) -> None:
    artifact = ready(tmp_path / "tiny")
    contract = dataclasses.replace(artifact.contract, backend=Backend.ONNX)
    write_contract(artifact.folder, contract)
    with pytest.raises(UnsupportedError, match="for onnx, which is not built on the device"):
        build(BuildRequest(folder=tmp_path / "tiny"))


def test_tensorrt_itself_is_not_built_with_where_no_gpu_is(
    libcuda: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = recorded_tensorrt("10.3.0", libcuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setenv("DOUBLE_CUDA_DEVICES", "0")
    ready(tmp_path / "tiny")
    with pytest.raises(BackendError, match="no NVIDIA GPU"):
        build(BuildRequest(folder=tmp_path / "tiny"))
    assert module.calls == []


def test_both_networks_and_the_nodes_to_hold_are_in_the_recipe(tmp_path: Path) -> None:
    folder = ready(tmp_path / "tiny", Precision.INT8).folder
    recipe = read_recipe(folder)
    assert (recipe.network(Typing.STRONG), recipe.network(Typing.WEAK)) == (STRONG, WEAK)
    weak = onnx.load(folder / WEAK)
    names = {node.name for node in weak.graph.node}
    assert set(recipe.float32_layers) <= names
    assert {"boxes", "scores"} <= set(recipe.float32_layers)
    assert weak.opset_import[0].version <= 17, "8.6 reads no newer opset"


def test_pixels_that_are_moved_as_bytes_are_cast_first(tmp_path: Path) -> None:
    model = tiny_detector()
    cast, transpose = model.graph.node[0], model.graph.node[1]
    transpose.input[0], transpose.output[0] = "images", "moved"
    cast.input[0], cast.output[0] = "moved", "nchw"
    nodes = [transpose, cast, *model.graph.node[2:]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    write_networks(tmp_path, model, Precision.FP16)
    for name in (STRONG, WEAK):
        written = onnx.load(tmp_path / name)
        assert [n.op_type for n in written.graph.node[:2]] == ["Cast", "Transpose"]
        session = onnxruntime.InferenceSession(
            str(tmp_path / name), providers=["CPUExecutionProvider"]
        )
        wanted = onnxruntime.InferenceSession(
            tiny_detector().SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, {"images": FRAME[None]})
        found = session.run(None, {"images": FRAME[None]})
        np.testing.assert_allclose(found[1], wanted[1], atol=0 if name == WEAK else 0.02)


def test_int8_is_never_written_from_a_network_without_quantisers(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="tensorrt int8 is made from a network with Q/DQ"):
        write_networks(tmp_path, tiny_detector(), Precision.INT8)
    with pytest.raises(UnsupportedError, match="fp16 is made from a network without Q/DQ"):
        write_networks(tmp_path, tiny_detector(quantised=True), Precision.FP16)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_computed_with_are_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.node.insert(0, onnx.helper.make_node("Max", ["images"], ["same"], "max"))
    model.graph.node[1].input[0] = "same"
    with pytest.raises(UnsupportedError, match="Max 'max' reads them as bytes"):
        write_networks(tmp_path, model, Precision.FP32)


@pytest.mark.parametrize(
    ("available", "asked", "shared", "workspace"),
    [
        (8000, None, False, None),
        (8000, None, True, 2048),
        (3000, None, True, 1044),
        (8000, 512, True, 512),
    ],
)
def test_a_jetson_s_workspace_is_capped_by_what_is_free(
    available: int, asked: int | None, shared: bool, workspace: int | None
) -> None:
    plan = plan_memory(
        available_mib=available, network_bytes=2 << 20, shared=shared, asked_mib=asked
    )
    assert plan.workspace_mib == workspace
    assert plan.needed_mib == 912


def test_a_build_that_does_not_fit_is_refused_before_it_starts() -> None:
    with pytest.raises(BackendError, match=r"1000 MiB of memory are free.*close other programs"):
        plan_memory(available_mib=1000, network_bytes=2 << 20, shared=True, asked_mib=None)
    with pytest.raises(BackendError, match="smaller --workspace"):
        plan_memory(available_mib=4000, network_bytes=2 << 20, shared=False, asked_mib=4000)


def test_free_memory_is_read_as_linux_says_it(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  8000000 kB\nMemFree:  1 kB\nMemAvailable:  2048000 kB\n")
    assert available_system_mib(meminfo) == 2000
    assert available_system_mib(tmp_path / "missing") is None


def edgeyolo(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own: a crash would show as a negative status."""
    kept = {k: v for k, v in os.environ.items() if k != "EDGEYOLO_LIBCUDA"}
    return subprocess.run(
        [sys.executable, "-m", "edgeyolo", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=kept | environment,
    )


@pytest.fixture(scope="module")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real engine for RTX GPUs, and a picture beside it."""
    folder = tmp_path_factory.mktemp("engine") / "tiny"
    try:
        pick_tensorrt("tensorrt_rtx")
    except MissingPackageError as error:
        pytest.skip(str(error))
    ready(folder)
    done = edgeyolo("build", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["build_target"]["module"] == "tensorrt_rtx"
    return folder


def changed(folder: Path, to: Path, **target: str) -> Path:
    """A copy of an engine artifact that claims to be built for another target."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    contract = load_artifact(to).contract
    assert contract.build_target is not None
    values = msgspec.to_builtins(contract.build_target) | target
    contract = dataclasses.replace(contract, build_target=BuildTarget(**values))
    write_contract(to, contract)
    return to


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    path = tmp_path_factory.mktemp("picture") / "frame.png"
    cv2.imwrite(str(path), FRAME)
    return path


def test_without_a_driver_the_command_says_so_and_lives(engine_folder: Path, picture: Path) -> None:
    done = edgeyolo("predict", engine_folder, picture, EDGEYOLO_LIBCUDA="/nonexistent/libcuda.so")
    assert done.returncode == 1
    assert "no NVIDIA driver is installed" in done.stderr


def test_without_a_gpu_the_command_says_so_and_lives(
    engine_folder: Path, picture: Path, libcuda_path: Path
) -> None:
    done = edgeyolo(
        "predict",
        engine_folder,
        picture,
        EDGEYOLO_LIBCUDA=str(libcuda_path),
        DOUBLE_CUDA_DEVICES="0",
    )
    assert done.returncode == 1
    assert "no NVIDIA GPU was found" in done.stderr


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"version": "1.2.0"}, "version 1.2.0, here 1."),
        ({"compute_capability": "7.5"}, "compute capability 7.5, here 8.6 and later"),
        ({"system": "Windows"}, "operating system Windows, here Linux"),
        ({"platform": "aarch64"}, "processor aarch64, here"),
    ],
)
def test_a_moved_engine_says_what_differs_and_how_to_rebuild(
    target: dict[str, str],
    message: str,
    engine_folder: Path,
    picture: Path,
    libcuda_path: Path,
    tmp_path: Path,
) -> None:
    folder = changed(engine_folder, tmp_path / "moved", **target)
    done = edgeyolo("predict", folder, picture, EDGEYOLO_LIBCUDA=str(libcuda_path))
    assert done.returncode == 1
    assert message in done.stderr
    assert f"edgeyolo build {folder}" in done.stderr


def test_an_engine_of_a_module_that_is_missing_says_how_to_get_it(
    engine_folder: Path, picture: Path, libcuda_path: Path, tmp_path: Path
) -> None:
    folder = changed(engine_folder, tmp_path / "moved", module="tensorrt", version="8.6.1")
    done = edgeyolo("predict", folder, picture, EDGEYOLO_LIBCUDA=str(libcuda_path))
    assert done.returncode == 1
    assert "tensorrt is not installed; on a Jetson it comes with JetPack" in done.stderr


def test_a_corrupt_engine_is_refused_before_it_is_loaded(
    engine_folder: Path, picture: Path, libcuda_path: Path, tmp_path: Path
) -> None:
    folder = changed(engine_folder, tmp_path / "corrupt")
    engine = load_artifact(folder).entry
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 0xFF
    engine.write_bytes(data)
    done = edgeyolo("predict", folder, picture, EDGEYOLO_LIBCUDA=str(libcuda_path))
    assert done.returncode == 1
    assert "altered" in done.stderr


def test_an_artifact_that_was_not_built_says_how_to(tmp_path: Path, picture: Path) -> None:
    ready(tmp_path / "tiny")
    done = edgeyolo("predict", tmp_path / "tiny", picture)
    assert done.returncode == 1
    assert f"edgeyolo build {tmp_path / 'tiny'}" in done.stderr


def test_the_build_command_refuses_a_batch_that_is_no_range(tmp_path: Path) -> None:
    ready(tmp_path / "tiny")
    done = edgeyolo("build", tmp_path / "tiny", "--batch", "4:1:8")
    assert done.returncode == 2
    assert "give 1:4:8" in done.stderr
