"""The public table agrees with the zoo, which needs torch, and says what stands behind a figure."""

from __future__ import annotations

from edgeyolo.benchmark.published import PUBLISHED, VAL_AP, Measurement
from edgeyolo.models.zoo import VARIANTS


def test_published_figures_are_those_of_the_zoo() -> None:
    for model in PUBLISHED:
        variant = VARIANTS[model.name]
        assert variant.published_hw == (model.side, model.side)
        assert variant.published_ap == model.ap_val
        assert variant.published_params_m == model.params_m
        assert variant.published_gflops == model.gflops
        # The table calls YOLOv7's test-dev figure val.
        family = model.name.partition("-")[0]
        assert model.ap == (variant.published_test_ap if family == "yolov7" else model.ap_val)


def test_the_table_has_the_eight_classic_networks_and_no_cpu_time() -> None:
    names = {name for name, variant in VARIANTS.items() if max(variant.input_hw) <= 640}
    assert len(PUBLISHED) == 8
    assert {model.name for model in PUBLISHED} == names - {"yolov7-tiny"}
    assert all(model.cpu_onnx_ms is None for model in PUBLISHED)
    without_gpu_time = {model.name for model in PUBLISHED if model.t4_tensorrt_ms is None}
    assert without_gpu_time == {"yolox-nano", "yolox-tiny"}


def test_the_accuracy_on_val2017_is_known_of_every_network_up_to_640_pixels() -> None:
    small = {name: one for name, one in VARIANTS.items() if max(one.input_hw) <= 640}
    assert {name: one.published_ap for name, one in small.items()} == VAL_AP


def test_an_accuracy_says_on_how_many_pictures() -> None:
    measured = Measurement("nano", "fp32", (416, 416), "CPU", 3.0, ap=0.4445, ap_pictures=6)
    assert measured.accuracy() == "fp32 44.5 (6 pictures)"
