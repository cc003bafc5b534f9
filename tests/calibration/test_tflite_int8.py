"""Each rule of TFLite INT8, on a small real network with unequal channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.calibration.tflite_channels import find_channels
from edgeyolo.calibration.tflite_equalize import equalize
from edgeyolo.calibration.tflite_int8 import TfliteCalibration, quantize_tflite
from edgeyolo.calibration.tflite_samples import collect, sampled_tensors
from edgeyolo.errors import UnsupportedError
from edgeyolo.tflite.graph import (
    DECODE,
    AxisOptions,
    ConvOptions,
    Graph,
    Kind,
    Padding,
    Tensor,
)
from edgeyolo.tflite.writer import to_bytes

pytest.importorskip("torch")

INPUT_HW = (16, 24)


class Pictures:
    """Random pixels, the same on every iteration."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[NDArray[Any]]:
        random = np.random.default_rng(self.seed)
        for _ in range(self.count):
            yield random.integers(0, 256, (1, *INPUT_HW, 3), np.uint8)

    def sample(self, count: int) -> Pictures:
        return Pictures(min(count, self.count), self.seed)


class Net:
    """A float graph under construction, with random weights."""

    def __init__(self, batch: int = 1) -> None:
        self.graph = Graph()
        self.random = np.random.default_rng(11)
        shape = (batch, *INPUT_HW, 3)
        pixels = self.graph.activation("images", shape, np.uint8)
        self.graph.inputs = (pixels,)
        self.head = self.graph.add(Kind.CAST, [pixels], "pixels", shape, source="cast")

    def conv(
        self,
        name: str,
        image: str,
        channels: int,
        *,
        depthwise: bool = False,
        gain: Any = 1.0,
        boost: Any = 1.0,
    ) -> str:
        batch, height, width, incoming = self.graph.tensors[image].shape
        size = (1, 3, 3, channels) if depthwise else (channels, 1, 1, incoming)
        fan_in = 9 if depthwise else incoming
        weights = self.random.standard_normal(size) / np.sqrt(fan_in)
        weights = weights * (gain if depthwise else np.reshape(gain, (-1, 1, 1, 1)))
        weights = weights * np.asarray(boost)
        bias = self.random.standard_normal(channels) * 0.1
        constants = [
            self.graph.constant(f"{name}_w", weights.astype(np.float32)),
            self.graph.constant(f"{name}_b", bias.astype(np.float32)),
        ]
        return self.graph.add(
            Kind.DEPTHWISE_CONV_2D if depthwise else Kind.CONV_2D,
            [image, *constants],
            f"{name}_raw",
            (batch, height, width, channels),
            options=ConvOptions(Padding.SAME, depth_multiplier=int(depthwise)),
            source=name,
        )

    def silu(self, name: str, raw: str) -> str:
        shape = self.graph.tensors[raw].shape
        gate = self.graph.add(Kind.LOGISTIC, [raw], f"{name}_gate", shape, source=f"{name}_gate")
        return self.graph.add(Kind.MUL, [raw, gate], name, shape, source=f"{name}_product")

    def join(self, kind: Kind, name: str, one: str, other: str) -> str:
        shape = list(self.graph.tensors[one].shape)
        if kind is Kind.CONCATENATION:
            shape[3] += self.graph.tensors[other].shape[3]
            return self.graph.add(
                kind, [one, other], name, shape, options=AxisOptions(3), source=name
            )
        return self.graph.add(kind, [one, other], name, shape, source=name)


def detector(batch: int = 1) -> Graph:
    """Stem, depthwise pair, residual sum, concatenation, two predictions and a decode."""
    net = Net(batch)
    # Channels from 1/100 to 1 of the largest: what YOLOX-Nano's stem looks like.
    gain = np.geomspace(0.001, 0.1, 8)
    stem = net.silu("stem_out", net.conv("stem", net.head, 8, gain=gain))
    deep = net.silu("deep_out", net.conv("deep", stem, 8, depthwise=True))
    wide = net.silu("wide_out", net.conv("wide", deep, 8, gain=gain * 20))
    total = net.join(Kind.ADD, "total", wide, stem)
    both = net.join(Kind.CONCATENATION, "both", total, deep)
    last = net.silu("last_out", net.conv("last", both, 8))
    box = net.conv("box_prediction", last, 4)
    score = net.conv("class_prediction", last, 2, gain=0.2)
    boxes = net.graph.add(Kind.EXP, [box], "boxes", net.graph.tensors[box].shape, source=DECODE)
    scores = net.graph.add(
        Kind.LOGISTIC, [score], "scores", net.graph.tensors[score].shape, source=DECODE
    )
    net.graph.outputs = (boxes, scores)
    return net.graph


def raw_detector() -> Graph:
    graph = detector()
    graph.operators = [operator for operator in graph.operators if operator.source != DECODE]
    graph.outputs = ("box_prediction_raw", "class_prediction_raw")
    return graph


def run(graph: Graph, pixels: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=to_bytes(graph), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    found = {}
    for item in interpreter.get_output_details():
        values = interpreter.get_tensor(item["index"])
        if values.dtype == np.int8:
            scale, zero_point = item["quantization"]
            values = (values.astype(np.float32) - zero_point) * np.float32(scale)
        found[item["name"]] = values
    return tuple(found[name] for name in graph.outputs)


def signal_to_noise_db(exact: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    noise = float(np.square(exact - other).mean())
    signal = float(np.square(exact - exact.mean()).mean())
    return 10 * float(np.log10(signal / max(noise, 1e-12)))


PIXELS = next(iter(Pictures(1, seed=99)))
SETTINGS = Int8Settings(estimator=RangeEstimator.MSE)


@pytest.fixture(scope="module")
def quantized() -> Graph:
    return quantize_tflite(detector(), Pictures(8), SETTINGS)


def produced_by(graph: Graph, source: str, kind: Kind) -> Tensor:
    operator = next(o for o in graph.operators if o.source == source and o.kind is kind)
    return graph.tensors[operator.outputs[0]]


def test_prediction_convolutions_and_decode_stay_float(quantized: Graph) -> None:
    for operator in quantized.operators:
        is_last = operator.source in ("box_prediction", "class_prediction", DECODE)
        dtype = quantized.tensors[operator.outputs[0]].dtype
        if operator.kind is not Kind.DEQUANTIZE:
            assert (dtype == np.float32) == is_last, operator


def test_weights_have_a_symmetric_scale_per_output_channel(quantized: Graph) -> None:
    for operator in quantized.operators:
        if operator.kind not in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D):
            continue
        weights = quantized.tensors[operator.inputs[1]]
        if weights.dtype != np.int8:
            continue
        assert weights.quantization is not None
        axis = 3 if operator.kind is Kind.DEPTHWISE_CONV_2D else 0
        assert weights.quantization.axis == axis
        assert len(weights.quantization.scales) == weights.shape[axis]
        assert set(weights.quantization.zero_points) == {0}
        assert weights.data is not None
        assert weights.data.min() >= -127


def test_bias_scales_are_input_scale_times_weight_scale(quantized: Graph) -> None:
    for operator in quantized.operators:
        if operator.kind is not Kind.CONV_2D or operator.source == DECODE:
            continue
        image, weights, bias = (quantized.tensors[name].quantization for name in operator.inputs)
        if image is None or weights is None or bias is None:
            continue
        products = np.asarray(weights.scales) * image.scales[0]
        assert_allclose(bias.scales, products, rtol=1e-6)


def test_boxes_and_classes_never_share_a_scale_in_the_integer_form() -> None:
    graph = quantize_tflite(raw_detector(), Pictures(8), SETTINGS, full_integer=True)
    numbers = [graph.tensors[name].quantization for name in graph.outputs]
    assert None not in numbers
    assert numbers[0] != numbers[1]


def test_the_integer_form_holds_no_float_tensor() -> None:
    graph = quantize_tflite(raw_detector(), Pictures(8), SETTINGS, full_integer=True)
    assert {tensor.dtype.name for tensor in graph.tensors.values()} == {"uint8", "int8", "int32"}
    exact = run(raw_detector(), PIXELS)
    for one, other in zip(exact, run(graph, PIXELS), strict=True):
        assert signal_to_noise_db(one, other) > 20


def test_sigmoids_have_the_scale_that_their_kernel_insists_on(quantized: Graph) -> None:
    gates = [
        quantized.tensors[operator.outputs[0]].quantization
        for operator in quantized.operators
        if operator.kind is Kind.LOGISTIC and operator.source != DECODE
    ]
    assert len(gates) == 4
    assert {(gate.scales, gate.zero_points) for gate in gates if gate} == {((1 / 256,), (-128,))}


def test_concatenated_tensors_share_scale_and_zero_point(quantized: Graph) -> None:
    operator = next(o for o in quantized.operators if o.kind is Kind.CONCATENATION)
    names = (*operator.inputs, *operator.outputs)
    assert len({quantized.tensors[name].quantization for name in names}) == 1


def test_a_layer_left_in_float_takes_its_activation_along() -> None:
    settings = Int8Settings(estimator=RangeEstimator.MSE, float_layers=frozenset({"wide"}))
    graph = quantize_tflite(detector(), Pictures(8), settings)
    assert produced_by(graph, "wide", Kind.CONV_2D).dtype == np.float32
    assert produced_by(graph, "wide_out_product", Kind.MUL).dtype == np.float32
    assert produced_by(graph, "deep", Kind.DEPTHWISE_CONV_2D).dtype == np.int8
    assert produced_by(graph, "last", Kind.CONV_2D).dtype == np.int8


def test_a_layer_that_is_not_there_is_refused_by_name() -> None:
    settings = Int8Settings(estimator=RangeEstimator.MSE, float_layers=frozenset({"stemm"}))
    with pytest.raises(UnsupportedError, match="'stemm'"):
        quantize_tflite(detector(), Pictures(2), settings)


def test_the_equalised_graph_computes_the_same() -> None:
    graph = detector()
    samples = collect(graph, Pictures(4), sampled_tensors(graph))
    equalized = equalize(graph, samples, RangeEstimator.MSE, far=0)
    assert set(equalized.factors) == {"stem_raw", "deep_raw", "wide_raw", "last_raw"}
    for one, other in zip(run(graph, PIXELS), run(equalized.graph, PIXELS), strict=True):
        assert_allclose(one, other, rtol=2e-4, atol=1e-5)


def test_what_is_added_has_the_same_factors() -> None:
    graph = detector()
    assert ("stem_raw", "wide_raw") in {
        tuple(sorted(group)) for group in find_channels(graph).groups
    }
    samples = collect(graph, Pictures(4), sampled_tensors(graph))
    factors = equalize(graph, samples, RangeEstimator.MSE, far=0).factors
    assert_allclose(factors["stem_raw"], factors["wide_raw"])


def test_factors_are_whole_multiples_that_int8_holds_exactly() -> None:
    graph = detector()
    samples = collect(graph, Pictures(4), sampled_tensors(graph))
    for factors in equalize(graph, samples, RangeEstimator.MSE, far=0).factors.values():
        multiples = factors / (factors.max() / 127)
        assert_allclose(multiples, np.rint(multiples), atol=1e-3)
        assert multiples.min() > 0.5


def unequal_pair() -> Graph:
    """Small channels that the next convolution makes large again."""
    net = Net()
    gain = np.geomspace(0.001, 0.1, 8)
    stem = net.silu("stem_out", net.conv("stem", net.head, 8, gain=gain))
    reader = net.silu("reader_out", net.conv("reader", stem, 8, boost=0.1 / gain))
    net.graph.outputs = (net.conv("prediction", reader, 4),)
    return net.graph


def test_equalising_removes_most_of_the_noise_of_unequal_channels() -> None:
    exact = run(unequal_pair(), PIXELS)[0]
    found = []
    for far in (10, 0):
        calibration = TfliteCalibration(unequal_pair(), Pictures(8), RangeEstimator.MSE, far=far)
        found.append(signal_to_noise_db(exact, run(calibration.quantize(), PIXELS)[0]))
    plain_db, equalized_db = found
    assert equalized_db > plain_db + 6


def test_time_is_spent_on_tensors_far_from_the_outputs() -> None:
    graph = detector()
    samples = collect(graph, Pictures(2), sampled_tensors(graph))
    # The longest way: stem, deep, wide, last, a prediction.
    names = ["stem_raw", "deep_raw", "wide_raw", "last_raw"]
    spent = [set(equalize(graph, samples, RangeEstimator.MSE, far=far).factors) for far in range(6)]
    assert spent[0] == spent[1] == set(names)
    assert spent[2] == set(names) - {"last_raw"}
    assert spent[5] == set()


def test_time_is_saved_only_where_the_predictions_stay_as_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def equalized() -> set[str]:
        return set(TfliteCalibration(unequal_pair(), Pictures(8)).equalized.factors)

    # Both tensors are nearer the output than FAR, and the prediction suffers without.
    assert equalized() == {"stem_raw", "reader_raw"}
    monkeypatch.setattr("edgeyolo.calibration.tflite_int8.AFFORDABLE", 1e6)
    assert equalized() == set()


def test_a_float_convolution_behind_int8_has_its_bias_corrected() -> None:
    exact = run(detector(), PIXELS)
    graph = detector()
    calibration = TfliteCalibration(graph, Pictures(8), RangeEstimator.MSE)
    result = calibration.quantize()
    prediction = next(
        op for op in result.operators if op.inputs[2:] and "corrected" in op.inputs[2]
    )
    assert result.tensors[prediction.inputs[0]].dtype == np.float32
    found = run(result, PIXELS)
    assert abs(float((found[1] - exact[1]).mean())) < 0.01


@pytest.mark.parametrize("estimator", list(RangeEstimator))
def test_every_range_estimator_gives_a_network_that_works(estimator: RangeEstimator) -> None:
    graph = quantize_tflite(detector(), Pictures(8), Int8Settings(estimator=estimator))
    exact, result = run(detector(), PIXELS), run(graph, PIXELS)
    assert signal_to_noise_db(exact[1], result[1]) > 15


def test_a_graph_for_several_pictures_is_calibrated_on_single_ones() -> None:
    graph = quantize_tflite(detector(batch=2), Pictures(8), SETTINGS)
    alone = quantize_tflite(detector(), Pictures(8), SETTINGS)
    pair = run(graph, np.concatenate((PIXELS, PIXELS[:, ::-1])))[1]
    assert_allclose(pair[:1], run(alone, PIXELS)[1], atol=0.02)


def test_the_result_does_not_depend_on_chance() -> None:
    one, other = (to_bytes(quantize_tflite(detector(), Pictures(4), SETTINGS)) for _ in range(2))
    assert one == other


def test_the_sample_is_bounded_whatever_the_number_of_pictures() -> None:
    graph = detector()
    for count in (3, 300):
        samples = collect(graph, Pictures(count), ["stem_raw"])
        assert len(samples["stem_raw"].rows) <= 3072


def test_corrected_biases_keep_the_mean_of_every_output() -> None:
    """The 3 x 127 grid of weights alone shifts means by more than the correction leaves."""
    exact = run(raw_detector(), PIXELS)[0]
    result = run(quantize_tflite(raw_detector(), Pictures(8), SETTINGS), PIXELS)[0]
    shift = np.abs((exact - result).mean(axis=(0, 1, 2)))
    assert (shift < 0.05 * exact.std()).all()
