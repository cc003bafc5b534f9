"""Trainings of a few seconds: drawn pictures, a tiny network, processes that are forked."""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgeyolo.training.request import TrainingRequest

NAMES = ("red", "green")


def draw_pictures(folder: Path) -> Path:
    """Sixteen 96x96 pictures with red and green boxes, as COCO instances.json."""
    (folder / "images").mkdir(parents=True)
    random_ = np.random.default_rng(3)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index in range(16):
        frame = random_.integers(60, 120, (96, 96, 3)).astype(np.uint8)
        for _ in range(2):
            kind = int(random_.integers(2))
            w, h = (int(v) for v in random_.integers(20, 50, 2))
            x, y = int(random_.integers(0, 96 - w)), int(random_.integers(0, 96 - h))
            frame[y : y + h, x : x + w] = (0, 0, 250) if kind == 0 else (0, 250, 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": kind + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        name = f"{index:02}.png"
        cv2.imwrite(str(folder / "images" / name), frame)
        images.append({"id": index + 1, "file_name": name, "height": 96, "width": 96})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(NAMES)]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


def request_for(pictures: Path, output: Path, **changes: object) -> TrainingRequest:
    fields: dict[str, object] = {
        "model": "yolox-nano",
        "width": 0.125,
        "data": str(pictures),
        "val": str(pictures),
        "epochs": 2,
        "batch": 4,
        "output": str(output),
        "input_hw": (64, 64),
        "settings": ("multiscale=false", "evaluation_interval=1"),
        "workers": 0,
        "tensorboard": False,
        **changes,
    }
    return TrainingRequest(**fields)  # type: ignore[arg-type]


def forked(work: Callable[[], object]) -> int:
    """Process id of a copy of this process that does *work*; it has imported everything."""
    cv2.setNumThreads(0)  # OpenCV's threads do not survive a fork
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - a forked test must never return
            traceback.print_exc()
        os._exit(status)
    return pid


def forked_ranks(works: list[Callable[[], object]]) -> list[int]:
    """Exit statuses of processes that work together, as torchrun would have started them.

    A process that was killed has the negative number of its signal.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def as_rank(rank: int) -> Callable[[], object]:
        def work() -> object:
            os.environ.update(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(len(works)),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            )
            return works[rank]()

        return work

    pids = [forked(as_rank(rank)) for rank in range(len(works))]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
