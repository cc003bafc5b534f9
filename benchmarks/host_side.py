"""How long the host works on one frame, apart from the network.

    OMP_NUM_THREADS=1 python benchmarks/host_side.py [--size 640 416] [--frames 500]

A 1280x720 frame, about fifty objects, one thread. The network's answer is simulated: a few good
boxes around every object, and over all other cells the low scores that a detector gives to
background. The forms of the answer take turns, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.families import FAMILIES
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer
from edgeyolo.spec import Family, ModelSpec
from edgeyolo.suppression import suppress

OBJECTS = 50
BOXES_PER_OBJECT = 6
CLASSES = 80
STRIDES = (8, 16, 32)


def answer(size: int) -> tuple[NDArray[np.float32], list[NDArray[np.float32]], int]:
    """Flat YOLOX cells (N, 5 + C) of logits, the raw heads, and the number of objects."""
    rng = np.random.default_rng(size)
    levels = []
    for stride in STRIDES:
        side = size // stride
        cells = np.empty((side, side, 5 + CLASSES), np.float32)
        cells[..., :2] = rng.uniform(0, 1, (side, side, 2))
        cells[..., 2:4] = rng.uniform(0.5, 1.5, (side, side, 2))
        cells[..., 4] = rng.normal(-6, 1, (side, side))
        cells[..., 5:] = rng.normal(-5, 1, (side, side, CLASSES))
        levels.append(cells)
    # Objects on a lattice, so that suppression is left with one box for each.
    fine = levels[0]
    side, step = fine.shape[0], max(4, fine.shape[0] // 8)
    places = [(y, x) for y in range(1, side - 3, step) for x in range(1, side - 3, step)][:OBJECTS]
    for y, x in places:
        label = rng.integers(CLASSES)
        for number in range(BOXES_PER_OBJECT):
            row, column = y + number % 2, x + number // 2
            cell = fine[row, column]
            cell[:2] = np.array((x + 1 - column, y + 1 - row)) + rng.normal(0, 0.1, 2)
            cell[2:4] = np.log(4) + rng.normal(0, 0.05, 2)
            cell[4] = cell[5 + label] = rng.uniform(1, 4)
    heads = []
    for cells in levels:
        heads += [np.ascontiguousarray(cells[None, ..., part]) for part in PARTS]
    return np.concatenate([cells.reshape(-1, 5 + CLASSES) for cells in levels]), heads, len(places)


PARTS = (slice(0, 4), slice(4, 5), slice(5, None))


def percentile_line(name: str, times_ms: NDArray[np.float64]) -> str:
    p50, p95 = np.percentile(times_ms, (50, 95))
    return f"  {name:<34}{p50:8.3f}{p95:8.3f}"


def measure(size: int, frames: int) -> None:
    rules = FAMILIES[Family.YOLOX]
    spec = ModelSpec(
        family=Family.YOLOX,
        variant="s",
        class_names=tuple(f"class {index}" for index in range(CLASSES)),
        strides=STRIDES,
        anchors_px=None,
        preprocess=rules.preprocess((size, size)),
    )
    _, heads, objects = answer(size)
    boxes, scores = (part[0] for part in rules.decode(heads, spec))
    frame = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    letterboxer = Letterboxer(spec.preprocess)
    placement = letterboxer.place(frame)

    def letterbox() -> None:
        letterboxer.place(as_bgr(frame))

    def decoded_answer() -> int:
        found = suppress(boxes, scores, min_score=0.25, iou_threshold=0.45, max_detections=300)
        return len(placement.undo(found.boxes_xyxy, clip=True))

    def raw_answer() -> int:
        few = rules.candidates(heads, spec, picture=0, min_score=0.25)
        found = suppress(*few, min_score=0.25, iou_threshold=0.45, max_detections=300)
        return len(placement.undo(found.boxes_xyxy, clip=True))

    def decode_everything() -> int:
        every = rules.decode(heads, spec)
        found = suppress(every[0][0], every[1][0], min_score=0.25, iou_threshold=0.45)
        return len(placement.undo(found.boxes_xyxy, clip=True))

    stages: dict[str, Callable[[], object]] = {
        "letterbox": letterbox,
        "suppress decoded answer": decoded_answer,
        "candidates + suppress raw answer": raw_answer,
        "(decode all + suppress raw answer)": decode_everything,
    }
    times_ms: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(frames + 20):
        for name, stage in stages.items():
            started = time.perf_counter()
            stage()
            if turn >= 20:
                times_ms[name].append((time.perf_counter() - started) * 1e3)
    placing, decoded, raw = (np.array(times_ms[name]) for name in list(stages)[:3])
    totals = {
        "host side, decoded answer": placing + decoded,
        "host side, raw answer": placing + raw,
    }
    passing = int((scores.max(axis=1) >= 0.25).sum())
    print(
        f"1280x720 to {size}x{size}: {len(boxes)} boxes x {CLASSES} classes, "
        f"{passing} candidates of {objects} objects, {decoded_answer()} found"
    )
    print(f"  {'milliseconds':<34}{'p50':>8}{'p95':>8}")
    for name, values in {**times_ms, **totals}.items():
        print(percentile_line(name, np.array(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[640, 416])
    parser.add_argument("--frames", type=int, default=500)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{platform.machine()}, numpy {np.__version__}, OpenCV {cv2.__version__}, one thread")
    for size in arguments.size:
        measure(size, arguments.frames)


if __name__ == "__main__":
    main()
