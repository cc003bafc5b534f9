"""The rectangular evaluation pipeline of YOLOv7.

Golden numbers: YOLOv7 a207844, recorded in ``reference/prepost``.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from edgeyolo.evaluation.rectangles import aspect_order, place_on_rectangle, rectangle
from edgeyolo.families.yolov7 import YOLOV7


def test_shapes_pixels_and_boxes_equal_the_official_pipeline(shared: Path) -> None:
    packed = (shared / "reference" / "prepost" / "yolov7.json.gz").read_bytes()
    record: dict[str, Any] = json.loads(gzip.decompress(packed))
    module_spec = importlib.util.spec_from_file_location(
        "synth_weights", shared / "reference" / "synth_weights.py"
    )
    assert module_spec is not None
    assert module_spec.loader is not None
    synth = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(synth)
    frames = [synth.synth_image(e["h"], e["w"], e["seed"]) for e in record["images"]]
    frames_hw = [(frame.shape[0], frame.shape[1]) for frame in frames]
    cases = record["eval_pipeline_rect"]
    assert len(cases) == 8
    for case in cases:
        index, stride = case["image"], case["stride"]
        assert aspect_order(frames_hw)[case["order"]] == index
        canvas_hw = rectangle([frames_hw[index]], case["img_size"], stride, case["pad"])
        assert [3, *canvas_hw] == case["shape_chw"]
        canvas, placement = place_on_rectangle(
            frames[index], case["img_size"], canvas_hw, YOLOV7.preprocess((640, 640))
        )
        chw = np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1))
        assert hashlib.sha256(chw.tobytes()).hexdigest() == case["uint8_rgb_chw"]["sha256"]
        (height, width), ((gain, _), pad_xy) = case["shapes"]
        assert placement.frame_hw == (height, width)
        assert placement.scale_xy == (gain, gain)
        assert list(placement.pad_xy) == pad_xy
        boxes = placement.undo(np.array(case["boxes_net"], np.float32), clip=True)
        assert_allclose(boxes, case["boxes_orig"], rtol=1e-6, atol=1e-4)


def test_a_batch_of_both_orientations_is_square() -> None:
    assert rectangle([(480, 640), (640, 480)], 640, 32) == (672, 672)
    assert rectangle([(480, 640), (360, 640)], 640, 32) == (512, 672)
    assert rectangle([(640, 480), (640, 360)], 640, 32) == (672, 512)
