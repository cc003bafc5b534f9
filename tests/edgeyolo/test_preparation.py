"""Buffers that are made once, and tensors that hold what the file wants."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgeyolo.contract import InputSpec
from edgeyolo.families.yolov7 import YOLOV7
from edgeyolo.letterbox import Letterboxer, normalize
from edgeyolo.predictor import Predictor
from edgeyolo.preparation import Preparer
from edgeyolo.spec import Backend, Layout

PREPROCESS = YOLOV7.preprocess((64, 96))


def input_spec(**changed: Any) -> InputSpec:
    fields: dict[str, Any] = {
        "name": "images",
        "layout": Layout.NHWC,
        "dtype": "uint8",
        "preprocessed_in_graph": True,
        "batch": None,
    }
    return InputSpec(**{**fields, **changed})


def pictures(count: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    rng = np.random.default_rng(count)
    sizes = rng.integers(10, 200, (count, 2)).tolist()
    return [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in sizes]


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_tensor_is_what_letterbox_and_normalisation_give(
    layout: Layout, in_graph: bool, dtype: str
) -> None:
    if dtype == "uint8" and not in_graph:
        pytest.skip("normalised pixels are never uint8")
    spec = input_spec(layout=layout, dtype=dtype, preprocessed_in_graph=in_graph)
    preparer = Preparer(PREPROCESS, spec)
    for count in (3, 1, 2):  # buffers change their size
        frames = pictures(count)
        tensor, placements = preparer.prepare(frames)
        canvases = []
        for frame, placement in zip(frames, placements, strict=True):
            letterboxer = Letterboxer(PREPROCESS)
            assert letterboxer.place(frame) == placement
            canvases.append(letterboxer.canvas_bgr)
        batch = np.stack(canvases)
        if not in_graph:
            expected: np.ndarray[Any, Any] = normalize(batch, PREPROCESS, layout)
        else:
            expected = batch.transpose(0, 3, 1, 2) if layout is Layout.NCHW else batch
        assert tensor.dtype == dtype
        assert tensor.flags.c_contiguous
        assert_array_equal(tensor, expected)


def test_a_fixed_batch_is_filled_up_with_grey_and_recovers() -> None:
    preparer = Preparer(PREPROCESS, input_spec(batch=3))
    for count in (3, 1, 2, 3):
        frames = pictures(count)
        tensor, placements = preparer.prepare(frames)
        assert tensor.shape == (3, 64, 96, 3)
        assert len(placements) == count
        assert (tensor[count:] == 114).all()
        for place, frame in enumerate(frames):
            letterboxer = Letterboxer(PREPROCESS)
            letterboxer.place(frame)
            assert_array_equal(tensor[place], letterboxer.canvas_bgr)
    with pytest.raises(ValueError, match="4 frames do not fit into a batch of 3"):
        preparer.prepare(pictures(4))


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
def test_predict_allocates_nothing_of_the_size_of_a_frame_after_warming_up(
    quadrants: Callable[..., Predictor], backend: Backend
) -> None:
    side = 320
    predictor = quadrants(backend, 1, side)
    frames = [
        np.random.default_rng(seed).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
        for seed in range(3)
    ]
    for frame in frames:
        predictor.predict(frame)
    gc.collect()
    tracemalloc.start()
    try:
        for frame in frames * 3:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            assert len(predictor.predict(frame)) > 0
            _, peak = tracemalloc.get_traced_memory()
            # numpy reports its buffers to tracemalloc; the network input alone has 307 200 bytes.
            assert peak - before < side * side * 3 / 4
    finally:
        tracemalloc.stop()
