"""The letterbox against the official tools, and its inverse.

Golden numbers: YOLOX 6ddff48 and YOLOv7 a207844, recorded in ``reference/prepost``.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from edgeyolo.families import FAMILIES
from edgeyolo.families.yolox import YOLOX
from edgeyolo.letterbox import (
    Fit,
    Letterboxer,
    Placement,
    draw_fit,
    fit_frame,
    fit_minimal,
    fit_stretched,
    normalize,
)
from edgeyolo.spec import Alignment, Family, Layout, Preprocess, Rounding


def synthetic(shared: Path) -> ModuleType:
    """The module that defines the reference's pictures and samples."""
    file = shared / "reference" / "synth_weights.py"
    module_spec = importlib.util.spec_from_file_location("synth_weights", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def pictures(shared: Path) -> list[NDArray[np.uint8]]:
    """The four synthetic pictures that every case of the reference uses."""
    module, made = synthetic(shared), []
    for entry in reference(shared, "yolox")["images"]:
        picture = module.synth_image(entry["h"], entry["w"], entry["seed"])
        assert hashlib.sha256(picture.tobytes()).hexdigest() == entry["sha256"]
        made.append(picture)
    return made


def reference(shared: Path, family: str) -> dict[str, Any]:
    path = shared / "reference" / "prepost" / f"{family}.json.gz"
    record: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return record


def sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_yolox_input_and_boxes_equal_the_official_ones(shared: Path) -> None:
    frames, cases = pictures(shared), reference(shared, "yolox")["cases"]
    sample_index = synthetic(shared).sample_index
    assert len(cases) == 16
    for case in cases:
        legacy = case.get("legacy", False)
        input_hw = (case["input_size"][0], case["input_size"][1])
        rules = YOLOX.legacy_preprocess if legacy else YOLOX.preprocess
        preprocess = rules(input_hw)
        letterboxer = Letterboxer(preprocess)
        placement = letterboxer.place(frames[case["image"]])
        tensor = normalize(letterboxer.canvas_bgr[None], preprocess, Layout.NCHW)[0]
        if legacy:
            # The official transform divides by 255; multiplying moves the last bit.
            sample = tensor.ravel()[sample_index(tensor.size, 64)]
            assert_allclose(sample, case["out"]["sample"], rtol=1e-5, atol=1e-6)
            assert_allclose(tensor.mean(), case["out"]["mean"], rtol=1e-5)
            continue
        assert sha256(tensor) == case["out"]["sha256"]
        assert placement.scale_xy[0] == case["ratio"]
        fit = fit_frame(placement.frame_hw, preprocess)
        assert list(fit.resized_hw) == case["resized_hw"]
        undone = placement.undo(np.array(case["boxes_net"], np.float32))
        assert_array_equal(undone, np.array(case["boxes_orig"], np.float32))


def yolov7_fit(frame_hw: tuple[int, int], args: dict[str, Any]) -> Fit:
    shape = args["new_shape"]
    input_hw = (shape, shape) if isinstance(shape, int) else (shape[0], shape[1])
    preprocess = replace(
        FAMILIES[Family.YOLOV7].preprocess(input_hw), enlarge=args.get("scaleup", True)
    )
    if args.get("scaleFill"):
        return fit_stretched(frame_hw, input_hw)
    if args["auto"]:
        return fit_minimal(frame_hw, preprocess, args["stride"])
    return fit_frame(frame_hw, preprocess)


def test_yolov7_letterbox_equals_the_official_one_for_all_argument_sets(shared: Path) -> None:
    frames, cases = pictures(shared), reference(shared, "yolov7")["cases"]
    assert len({case["variant"] for case in cases}) == 8
    assert len(cases) == 32
    for case in cases:
        frame = frames[case["image"]]
        frame_hw = (frame.shape[0], frame.shape[1])
        fit = yolov7_fit(frame_hw, case["args"])
        canvas = np.empty((*fit.canvas_hw, 3), np.uint8)
        draw_fit(frame, fit, canvas, 114)
        assert list(fit.canvas_hw) == case["out_hw"]
        assert sha256(canvas) == case["letterboxed_uint8_hwc_bgr"]["sha256"], case["variant"]
        assert list(fit.placement.scale_xy) == case["ratio_wh"]
        assert list(fit.placement.pad_xy) == case["pad_wh"]
        tensor = normalize(canvas[None], FAMILIES[Family.YOLOV7].preprocess((64, 64)), Layout.NCHW)[
            0
        ]
        assert_allclose(tensor.mean(), case["network_input_rgb_chw"]["mean"], rtol=1e-6)
        assert_allclose(tensor.std(), case["network_input_rgb_chw"]["std"], rtol=1e-6)

        boxes_net = np.array(case["boxes_net"], np.float32)
        if not case["args"].get("scaleFill"):
            # With the recorded ratio, as the official evaluation does.
            assert_allclose(
                fit.placement.undo(boxes_net, clip=True), case["boxes_orig_ratio_pad"], rtol=1e-6
            )
        # With the ratio found from the shapes, as the official demo does.
        gain = min(fit.canvas_hw[0] / frame_hw[0], fit.canvas_hw[1] / frame_hw[1])
        pad_xy = (
            (fit.canvas_hw[1] - frame_hw[1] * gain) / 2,
            (fit.canvas_hw[0] - frame_hw[0] * gain) / 2,
        )
        from_shapes = Placement((gain, gain), pad_xy, frame_hw)
        assert_allclose(from_shapes.undo(boxes_net, clip=True), case["boxes_orig"], rtol=1e-6)


sides = st.integers(1, 4000)
preprocesses = st.builds(
    Preprocess,
    input_hw=st.tuples(*[st.integers(1, 40).map(lambda n: 32 * n)] * 2),
    color_order=st.sampled_from(["bgr", "rgb"]),
    scale=st.just(1.0),
    mean=st.just((0.0, 0.0, 0.0)),
    std=st.just((1.0, 1.0, 1.0)),
    alignment=st.sampled_from(list(Alignment)),
    rounding=st.sampled_from(list(Rounding)),
    enlarge=st.booleans(),
)


@given(frame_hw=st.tuples(sides, sides), preprocess=preprocesses)
def test_the_frame_lies_on_the_canvas_and_undoing_returns_its_corners(
    frame_hw: tuple[int, int], preprocess: Preprocess
) -> None:
    fit = fit_frame(frame_hw, preprocess)
    for corner, resized, canvas in zip(fit.corner_yx, fit.resized_hw, fit.canvas_hw, strict=True):
        assert corner >= 0
        assert resized >= 1
        assert corner + resized <= canvas
    if not preprocess.enlarge:
        assert max(fit.placement.scale_xy) <= 1.0

    height, width = frame_hw
    boxes = np.array([[0, 0, width, height], [width / 3, height / 7, width / 2, height]], "f4")
    returned = fit.placement.undo(fit.placement.apply(boxes))
    # float32 keeps 24 bits of a canvas coordinate up to 1280 pixels; one of its steps in frame
    # pixels is its inverse scale.
    step_px = 1280 * 2.0**-23 / min(fit.placement.scale_xy)
    assert_allclose(returned, boxes, rtol=1e-6, atol=2 * step_px)


@given(frame_hw=st.tuples(sides, sides), preprocess=preprocesses, stride=st.sampled_from([32, 64]))
def test_the_minimal_canvas_pads_less_than_a_stride(
    frame_hw: tuple[int, int], preprocess: Preprocess, stride: int
) -> None:
    full, minimal = fit_frame(frame_hw, preprocess), fit_minimal(frame_hw, preprocess, stride)
    assert minimal.resized_hw == full.resized_hw
    assert minimal.placement.scale_xy == full.placement.scale_xy
    for canvas, resized, whole in zip(
        minimal.canvas_hw, minimal.resized_hw, full.canvas_hw, strict=True
    ):
        assert 0 <= canvas - resized < stride
        assert (whole - canvas) % stride == 0


@pytest.mark.parametrize("frame_hw", [(1, 1), (8000, 20), (20, 8000), (8000, 2), (33, 32766)])
def test_extreme_frames_are_letterboxed(frame_hw: tuple[int, int]) -> None:
    letterboxer = Letterboxer(YOLOX.preprocess((416, 416)))
    placement = letterboxer.place(np.full((*frame_hw, 3), 7, np.uint8))
    assert placement.frame_hw == frame_hw
    assert letterboxer.canvas_bgr[0, 0].tolist() == [7, 7, 7]
    assert set(np.unique(letterboxer.canvas_bgr).tolist()) <= {7, 114}


def test_frames_of_changing_size_leave_no_trace_of_each_other() -> None:
    rng = np.random.default_rng(5)
    shared_canvas = Letterboxer(FAMILIES[Family.YOLOV7].preprocess((96, 64)))
    for frame_hw in [(50, 90), (90, 50), (96, 64), (50, 90), (10, 10)]:
        frame = rng.integers(0, 255, (*frame_hw, 3), dtype=np.uint8)
        fresh = Letterboxer(shared_canvas.preprocess)
        assert shared_canvas.place(frame) == fresh.place(frame)
        assert_array_equal(shared_canvas.canvas_bgr, fresh.canvas_bgr)


def test_a_picture_of_a_batch_is_filled_in_place() -> None:
    frame = np.random.default_rng(6).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    letterboxer = Letterboxer(FAMILIES[Family.YOLOV7].preprocess((64, 64)))
    batch = np.zeros((3, 64, 64, 3), np.uint8)
    letterboxer.place(frame, out=batch[1])
    letterboxer.place(frame)
    assert_array_equal(batch[1], letterboxer.canvas_bgr)
    assert not batch[0].any()
    assert not batch[2].any()


def test_a_target_of_another_shape_is_refused() -> None:
    letterboxer = Letterboxer(YOLOX.preprocess((64, 64)))
    with pytest.raises(ValueError, match="out must be"):
        letterboxer.place(np.zeros((8, 8, 3), np.uint8), out=np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="out must be"):
        normalize(
            np.zeros((1, 64, 64, 3), np.uint8),
            letterboxer.preprocess,
            Layout.NCHW,
            out=np.zeros((1, 64, 64, 3), np.float32),
        )


def test_nhwc_and_nchw_hold_the_same_numbers() -> None:
    canvas = np.random.default_rng(7).integers(0, 255, (2, 32, 64, 3), dtype=np.uint8)
    preprocess = YOLOX.legacy_preprocess((32, 64))
    nchw = normalize(canvas, preprocess, Layout.NCHW)
    nhwc = normalize(canvas, preprocess, Layout.NHWC)
    assert_array_equal(nchw.transpose(0, 2, 3, 1), nhwc)
    expected = (canvas[..., ::-1].astype(np.float64) / 255 - preprocess.mean) / preprocess.std
    assert_allclose(nhwc, expected, rtol=1e-5, atol=1e-6)  # float32 against float64
