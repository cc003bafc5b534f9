"""Builder and adapter against the recorded APIs of TensorRT 8.6.1, 10.3, 10.16 and 11.4.

The doubles are generated from NVIDIA's own bindings (see ``tests/doubles``): whatever a version
lacks raises, and the documented rules about types hold.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgeyolo.contract import BuildTarget, Contract
from edgeyolo.errors import (
    ArtifactError,
    BackendError,
    BuildTargetError,
    EdgeYoloError,
    MissingPackageError,
    UnsupportedError,
)
from edgeyolo.exporters.fp16_graph import to_fp16
from edgeyolo.exporters.tensorrt_builder import (
    BuildOptions,
    build_engine,
)
from edgeyolo.exporters.tensorrt_flags import Typing, choose_flags
from edgeyolo.runtimes.cuda_driver import Cuda
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.runtimes.tensorrt_adapter import TensorRtRuntime
from edgeyolo.runtimes.tensorrt_modules import pick_tensorrt
from edgeyolo.runtimes.tensorrt_target import this_target
from edgeyolo.spec import Precision
from tests.doubles.extract_tensorrt_api import DEPRECATED, EXTRACT, deprecated_in_11, extract
from tests.doubles.tensorrt_double import VERSIONS, recorded_tensorrt
from tests.doubles.tiny_detector import HW, tiny_contract, tiny_detector
from tests.doubles.tiny_engine import (
    DECODE,
    DYNAMIC,
    built,
    opened,
    pictures,
    trt_of,
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", Precision)
def test_every_version_builds_every_precision_with_calls_that_it_has(
    version: str, precision: Precision, tmp_path: Path
) -> None:
    trt = trt_of(version)
    engine = built(
        trt,
        precision,
        batch=DYNAMIC,
        workspace_mib=256,
        optimization_level=4,
        timing_cache=tmp_path / "timings",
    )
    network, config = trt.module.builds[0]
    assert engine.plan
    assert config._pools == {"WORKSPACE": 256 << 20}
    assert config._profiles == [[[n, HW, HW, 3] for n in (1, 2, 4)]]
    assert config.builder_optimization_level == 4
    assert engine.timings == b"timings of " + version.encode()
    assert network.num_inputs == 1


EXPECTED_FLAGS = {
    ("8.6.1", Precision.FP32): ({"EXPLICIT_BATCH"}, set()),
    ("8.6.1", Precision.FP16): ({"EXPLICIT_BATCH"}, {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
    ("8.6.1", Precision.INT8): (
        {"EXPLICIT_BATCH"},
        {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"},
    ),
    **{("10.3.0", precision): ({"STRONGLY_TYPED"}, set()) for precision in Precision},
    **{("10.16.1.11", precision): ({"STRONGLY_TYPED"}, set()) for precision in Precision},
    **{("11.4.0.106", precision): (set(), set()) for precision in Precision},
}


@pytest.mark.parametrize(("version", "precision"), EXPECTED_FLAGS)
def test_the_flags_are_those_of_the_version(version: str, precision: Precision) -> None:
    trt = trt_of(version)
    built(trt, precision)
    network, config = trt.module.builds[0]
    tf32 = set() if precision is Precision.FP32 else {"TF32"}
    creation, builder = EXPECTED_FLAGS[version, precision]
    assert (network._flags, config._flags) == (creation, builder | tf32)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_deprecated_is_used_from_the_build_to_the_last_call(
    version: str, precision: Precision, libcuda: Any, tmp_path: Path
) -> None:
    trt = trt_of(version, libcuda)
    # The double raises on any of these; 10.16 still has all that 10.3 has.
    assert trt.module.deprecated or version == "10.3.0"
    options = {"batch": DYNAMIC, "timing_cache": tmp_path / "timings", "optimization_level": 4}
    engine = built(trt, precision, **options)
    contract = tiny_contract("network.engine", batch=None, precision=precision)
    for cuda_graph in (False, True):
        session = opened(trt, engine.plan, contract, cuda_graph=cuda_graph)
        session.run(pictures(1))
        session.resident(pictures(2))()
        session.close()
    assert "IExecutionContext.execute_async_v3" in trt.module.calls


def test_the_double_raises_on_what_a_version_has_but_calls_deprecated() -> None:
    new = recorded_tensorrt("11.4.0.106")
    strong = 1 << int(new.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    with pytest.raises(AssertionError, match="STRONGLY_TYPED is deprecated in 11"):
        new.Builder(new.ILogger()).create_network(strong)
    config = new.Builder(new.ILogger()).create_builder_config()
    with pytest.raises(AssertionError, match=r"BuilderFlag\.SAFETY_SCOPE is deprecated in 11"):
        config.set_flag(new.BuilderFlag.SAFETY_SCOPE)
    old = recorded_tensorrt("10.16.1.11")
    config = old.Builder(old.ILogger()).create_builder_config()
    with pytest.raises(AssertionError, match=r"BuilderFlag\.FP16 is deprecated in 10\.16"):
        config.set_flag(old.BuilderFlag.FP16)
    with pytest.raises(AssertionError, match="algorithm_selector is deprecated"):
        config.algorithm_selector = None


def test_what_is_deprecated_was_read_from_the_library() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    recorded = json.loads(DEPRECATED.read_text())
    if recorded["module"] != f"tensorrt_rtx {rtx.__version__}":
        pytest.skip(f"another version is installed than was read ({recorded['module']})")
    assert deprecated_in_11(rtx) == recorded


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_weak_typing_holds_decode_in_float32(precision: Precision) -> None:
    trt = trt_of("8.6.1")
    built(trt, precision)
    network, _ = trt.module.builds[0]
    held = {layer.name for layer in network._layers if hasattr(layer, "precision")}
    assert held == DECODE
    float32 = trt.module.DataType.FLOAT
    scores = next(layer for layer in network._layers if layer.name == "scores")
    assert scores._types == {0: float32}


def test_a_timing_cache_of_another_version_is_replaced(tmp_path: Path) -> None:
    cache = tmp_path / "timings"
    cache.write_bytes(built(trt_of("10.3.0"), Precision.FP32, timing_cache=cache).timings)
    engine = built(trt_of("11.4.0.106"), Precision.FP32, timing_cache=cache)
    assert (engine.timings, engine.warnings) == (b"timings of 11.4.0.106", ())


@pytest.mark.parametrize("version", VERSIONS)
def test_timings_that_cannot_be_used_cost_no_engine(version: str, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"damaged")
    for path, problem in (
        (tmp_path / "damaged", "are damaged; all kernels were timed again"),
        (tmp_path, "were not read: .*Is a directory"),
    ):
        engine = built(trt_of(version), Precision.FP32, timing_cache=path)
        assert engine.plan
        assert engine.timings == b"timings of " + version.encode()
        assert re.search(problem, engine.warnings[-1])


@pytest.mark.parametrize(
    ("version", "typing"),
    [("8.6.1", Typing.WEAK), ("10.3.0", Typing.WEAK), ("11.4.0.106", Typing.STRONG)],
)
def test_dla_runs_fp16_with_gpu_fallback(version: str, typing: Typing) -> None:
    trt = trt_of(version)
    trt.module.dla_cores = 2
    model = tiny_detector()
    if typing is Typing.STRONG:
        model, _ = to_fp16(model)
    options = BuildOptions(precision=Precision.FP16, dla_core=1, float32_layers=DECODE)
    assert build_engine(trt, model.SerializeToString(), options).typing is typing
    _, config = trt.module.builds[0]
    assert config.default_device_type == trt.module.DeviceType.DLA
    assert config.DLA_core == 1
    assert "GPU_FALLBACK" in config._flags


def test_dla_that_is_not_there_is_named() -> None:
    trt = trt_of("10.3.0")
    options = BuildOptions(precision=Precision.FP16, dla_core=0)
    with pytest.raises(UnsupportedError, match="no DLA core 0: it has none"):
        build_engine(trt, tiny_detector().SerializeToString(), options)
    with pytest.raises(UnsupportedError, match="fp16 here, not int8"):
        choose_flags(trt, Precision.INT8, dla=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_node_that_cannot_be_parsed_is_named(version: str) -> None:
    model = tiny_detector()
    model.graph.node[3].op_type = "Foo"
    with pytest.raises(BackendError, match=r"cannot parse the network: node relu \(Foo\): Plugin"):
        build_engine(
            trt_of(version), model.SerializeToString(), BuildOptions(precision=Precision.FP32)
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_warning_that_a_value_was_clamped_is_an_error_with_the_node(version: str) -> None:
    model = tiny_detector()
    model.graph.node[3].name = "clamped"
    with pytest.raises(BackendError, match=r"change a type at node clamped \(Relu\): .*clamped"):
        build_engine(
            trt_of(version), model.SerializeToString(), BuildOptions(precision=Precision.FP32)
        )


def test_what_8_says_of_every_shape_constant_is_no_error_but_stays_in_the_report() -> None:
    engine = built(trt_of("8.6.1"), Precision.FP32)
    assert any("INT64" in warning for warning in engine.warnings)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_that_does_not_fit_the_network_is_refused(version: str) -> None:
    trt = trt_of(version)
    with pytest.raises(UnsupportedError, match="the least, typical and most: --batch"):
        build_engine(
            trt, tiny_detector(None).SerializeToString(), BuildOptions(precision=Precision.FP32)
        )
    with pytest.raises(
        UnsupportedError, match=r"a batch of exactly 1, not for 1:2:4; .*--dynamic-batch"
    ):
        build_engine(
            trt,
            tiny_detector(1).SerializeToString(),
            BuildOptions(precision=Precision.FP32, batch=DYNAMIC),
        )


def test_a_network_of_the_wrong_kind_fails_with_the_library_s_own_words() -> None:
    trt = trt_of("10.3.0")
    trt.module.dla_cores = 1
    options = BuildOptions(precision=Precision.FP16, dla_core=0)
    model = tiny_detector(quantised=True)
    with pytest.raises(BackendError, match=r"could not build the engine: a Q/DQ network needs"):
        build_engine(trt, model.SerializeToString(), options)


class Here:
    """An engine artifact of this machine, on the doubles."""

    def __init__(self, version: str, libcuda: Any, folder: Path) -> None:
        self.trt = trt_of(version, libcuda)
        self.plan = built(self.trt, Precision.FP32).plan
        self.file = folder / "network.engine"
        self.file.write_bytes(self.plan)
        cuda = Cuda()
        self.target = this_target(self.trt, cuda.gpu)
        cuda.close()

    def contract(self, target: BuildTarget | None = None) -> Contract:
        return tiny_contract(self.file.name, self.plan, target=target or self.target)


@pytest.fixture(params=VERSIONS)
def here(
    request: pytest.FixtureRequest,
    libcuda: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Here:
    made = Here(request.param, libcuda, tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", made.trt.module)
    return made


def test_an_engine_of_this_machine_opens_and_runs(here: Here) -> None:
    session = TensorRtRuntime().open(here.file, here.contract(), SessionOptions())
    assert session.device == "GPU:0 Double GPU"
    assert session.run(pictures(1))[0].shape == (1, 16, 4)
    session.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "10.0.1"}, "version 10.0.1, here"),
        ({"gpu": "Orin"}, "GPU Orin, here Double GPU"),
        ({"compute_capability": "8.9"}, "compute capability 8.9, here 8.7"),
        ({"platform": "riscv64"}, "processor riscv64, here"),
        ({"system": "Windows"}, "operating system Windows, here"),
    ],
)
def test_an_engine_of_another_machine_says_what_differs_and_how_to_rebuild(
    change: dict[str, str], message: str, here: Here
) -> None:
    values = {name: getattr(here.target, name) for name in here.target.__slots__} | change
    with pytest.raises(BuildTargetError, match=message) as caught:
        TensorRtRuntime().open(here.file, here.contract(BuildTarget(**values)), SessionOptions())
    assert str(caught.value).endswith(f"edgeyolo build {here.file.parent}")
    assert "Runtime.deserialize_cuda_engine" not in here.trt.module.calls


def test_a_newer_driver_is_no_other_machine(here: Here) -> None:
    values = {name: getattr(here.target, name) for name in here.target.__slots__}
    target = BuildTarget(**values | {"driver": "11.4"})
    TensorRtRuntime().open(here.file, here.contract(target), SessionOptions()).close()


def test_an_engine_that_was_altered_is_never_deserialised(here: Here) -> None:
    here.file.write_bytes(here.plan[:-1] + b"\xff")
    with pytest.raises(ArtifactError, match="altered or damaged"):
        TensorRtRuntime().open(here.file, here.contract(), SessionOptions())
    assert "Runtime.deserialize_cuda_engine" not in here.trt.module.calls


def test_an_engine_without_a_digest_is_not_loaded_on_trust(here: Here) -> None:
    contract = tiny_contract(here.file.name, None, target=here.target)
    with pytest.raises(ArtifactError, match="no digest"):
        TensorRtRuntime().open(here.file, contract, SessionOptions())


def test_an_engine_that_the_library_refuses_is_an_error(here: Here) -> None:
    here.plan = b"corrupt" + here.plan
    here.file.write_bytes(here.plan)
    with pytest.raises(BackendError, match=r"refuses the engine.*corrupt.*edgeyolo build"):
        TensorRtRuntime().open(here.file, here.contract(), SessionOptions())


def test_without_a_gpu_nothing_of_tensorrt_is_touched(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_CUDA_DEVICES", "0")
    calls = list(here.trt.module.calls)
    with pytest.raises(BackendError, match="no NVIDIA GPU was found"):
        TensorRtRuntime().open(here.file, here.contract(), SessionOptions())
    assert here.trt.module.calls == calls


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        ("cpu", UnsupportedError, "not on 'cpu'"),
        ("gpu:3", BackendError, "no GPU 3; the driver sees 1"),
    ],
)
def test_a_device_that_is_not_there_is_named(
    device: str, error: type[EdgeYoloError], message: str, here: Here
) -> None:
    with pytest.raises(error, match=message):
        TensorRtRuntime().open(here.file, here.contract(), SessionOptions(device=device))


def test_an_artifact_that_was_not_built_yet_says_so(tmp_path: Path) -> None:
    contract = tiny_contract("network.onnx")
    with pytest.raises(BuildTargetError, match=r"holds no engine yet.*edgeyolo build"):
        TensorRtRuntime().open(tmp_path / "network.onnx", contract, SessionOptions())


def test_the_report_names_version_and_gpu(here: Here) -> None:
    report = TensorRtRuntime().report()
    assert report.version == here.trt.version
    assert report.devices == ("gpu (Double GPU)",)
    assert report.precisions == tuple(Precision)


def test_a_module_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackageError, match="tensorrt is not installed; on a Jetson"):
        pick_tensorrt("tensorrt")
    old = recorded_tensorrt("8.6.1")
    old.__version__ = "8.5.2"
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(UnsupportedError, match=r"8\.5\.2 is older than 8\.6"):
        pick_tensorrt()


def test_the_double_refuses_what_a_version_lacks() -> None:
    new, old = recorded_tensorrt("11.4.0.106"), recorded_tensorrt("8.6.1")
    logger = new.ILogger()
    with pytest.raises(AttributeError):
        new.BuilderFlag.FP16  # noqa: B018 (removed in 11)
    with pytest.raises(AttributeError):
        new.Builder(logger).create_builder_config().int8_calibrator = None
    with pytest.raises(AttributeError):
        old.ParserError().node_name()
    with pytest.raises(TypeError):
        new.Builder(logger).create_network(0, 1)
    with pytest.raises(TypeError):
        new.Builder(logger).create_network("0")


def test_the_doubles_are_what_was_recorded(shared: Path) -> None:
    assert extract(shared / "reference/tensorrt_api") == json.loads(EXTRACT.read_text())


def test_the_tiny_detector_is_sound() -> None:
    onnx.checker.check_model(tiny_detector(None, quantised=True), full_check=True)
