"""Rendered scenes as a COCO data set on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeyolo.atomic import atomic_folder
from edgeyolo.pictures import encode_picture
from edgeyolo.scenes.rendering import Difficulty, Scene, render_scene
from edgeyolo.scenes.symbols import SCENE_CLASSES

Progress = Callable[[int, int], None]
_MARKER = ".edgeyolo-scenes.json"
JPEG_QUALITY = 95


def write_scenes(
    folder: Path,
    count: int,
    seed: int,
    hw: tuple[int, int],
    difficulty: Difficulty = Difficulty.NORMAL,
    progress: Progress | None = None,
) -> int:
    """Write ``images/`` and ``instances.json`` with scenes *seed* ... *seed* + *count* - 1.

    The folder appears when it is complete.

    Returns:
        Number of labelled objects.

    Raises:
        OutputError: The folder cannot be written.
    """
    document: dict[str, Any] = {
        "info": {
            "description": "edgeyolo rendered scenes",
            "seed": seed,
            "difficulty": difficulty.value,
        },
        "images": [],
        "annotations": [],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(SCENE_CLASSES)],
    }
    with atomic_folder(folder, marker=_MARKER) as temporary:
        (temporary / "images").mkdir()
        for index in range(count):
            scene = render_scene(seed + index, hw, difficulty)
            name = f"{seed + index:08d}.jpg"
            content = encode_picture(scene.frame_bgr, ".jpg", quality=JPEG_QUALITY)
            (temporary / "images" / name).write_bytes(content)
            _add(document, scene, index + 1, name)
            if progress is not None:
                progress(index + 1, count)
        (temporary / "instances.json").write_text(json.dumps(document), encoding="utf-8")
    return len(document["annotations"])


def _add(document: dict[str, Any], scene: Scene, picture_id: int, name: str) -> None:
    height, width = scene.frame_bgr.shape[:2]
    document["images"].append(
        {"id": picture_id, "file_name": name, "height": height, "width": width}
    )
    for box, class_id in zip(scene.boxes_xyxy.tolist(), scene.class_ids.tolist(), strict=True):
        x1, y1, x2, y2 = box
        document["annotations"].append(
            {
                "id": len(document["annotations"]) + 1,
                "image_id": picture_id,
                "category_id": class_id + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
        )
