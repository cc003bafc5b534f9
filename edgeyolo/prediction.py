"""Detections of pictures, folders and videos, with annotated copies and COCO results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import write_bytes, write_text
from edgeyolo.coco_names import COCO_CATEGORY_IDS, COCO_NAMES
from edgeyolo.detections import Detections
from edgeyolo.drawing import draw
from edgeyolo.errors import OutputError
from edgeyolo.pictures import SUFFIXES, encode_picture, list_pictures, read_picture
from edgeyolo.predictor import Predictor
from edgeyolo.recording import VideoRecorder, check_not_source
from edgeyolo.sources.files import VideoFile

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FramePrediction:
    """What was found in one picture or video frame.

    Attributes:
        name: File name of the picture; of the video with ``#`` and the frame number.
        frame_hw: Height and width in pixels.
        frame_index: Number of the frame in its video; ``None`` for pictures.
    """

    name: str
    frame_hw: tuple[int, int]
    detections: Detections
    frame_index: int | None = None

    @property
    def image_id(self) -> int | str:
        """For COCO: the picture's stem, as a number if it is one; the number of a video frame."""
        if self.frame_index is not None:
            return self.frame_index
        stem = Path(self.name).stem
        return int(stem) if stem.isdecimal() else stem

    def line(self) -> str:
        """``bus.jpg: 2 person, 1 bus``."""
        counts = Counter(self.detections.names)
        found = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        return f"{self.name}: {found or 'nothing'}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: boxes as x1, y1, x2, y2 in pixels of the frame."""
        return {
            "name": self.name,
            "height": self.frame_hw[0],
            "width": self.frame_hw[1],
            "detections": self.detections.as_dicts(),
        }


def predict_source(
    predictor: Predictor,
    source: Path,
    *,
    save: Path | None = None,
    min_score: float | None = None,
    iou_threshold: float | None = None,
    max_detections: int | None = None,
    progress: Progress = lambda _: None,
) -> Iterator[FramePrediction]:
    """Predict a picture, every picture of a folder, or every frame of a video.

    Args:
        save: Folder for annotated pictures, or for one annotated video. Pictures keep their
            names; ``a.pgm``, which has no colours, becomes ``a.pgm.png``.

    Raises:
        SourceError: *source* cannot be read; pictures before it were yielded.
        OutputError: *save* cannot be written, or would overwrite what is read.
    """

    def find(frame_bgr: NDArray[np.uint8]) -> Detections:
        return predictor.predict(
            frame_bgr,
            min_score=min_score,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        )

    if source.is_dir() or source.suffix.lower() in SUFFIXES:
        paths = list_pictures(source) if source.is_dir() else [source]
        yield from _predict_pictures(find, paths, save, progress)
    else:
        yield from _predict_video(find, source, save, progress)


def write_coco(path: Path, frames: Sequence[FramePrediction]) -> None:
    """Write a COCO results file.

    ``image_id`` is :attr:`FramePrediction.image_id`. ``category_id`` is COCO's own for a model with
    COCO's classes, else the class id plus one.
    """
    rows = []
    for frame in frames:
        for found in frame.detections:
            x1, y1, x2, y2 = found.box_xyxy
            rows.append(
                {
                    "image_id": frame.image_id,
                    "category_id": _category_id(found.class_id, frame.detections.class_names),
                    "category_name": found.class_name,
                    "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "score": round(found.score, 5),
                }
            )
    write_text(path, json.dumps(rows))


def _category_id(class_id: int, class_names: tuple[str, ...]) -> int:
    return COCO_CATEGORY_IDS[class_id] if class_names == COCO_NAMES else class_id + 1


def _predict_pictures(
    find: Callable[[NDArray[np.uint8]], Detections],
    paths: Sequence[Path],
    save: Path | None,
    progress: Progress,
) -> Iterator[FramePrediction]:
    for number, path in enumerate(paths, 1):
        if len(paths) > 1 and (number % 50 == 0 or number == len(paths)):
            progress(f"{number} of {len(paths)} pictures")
        frame = read_picture(path)
        detections = find(frame)
        if save is not None:
            target = save / saved_name(path)
            check_not_source(target, path)
            _write_picture(target, draw(frame, detections))
        yield FramePrediction(path.name, (frame.shape[0], frame.shape[1]), detections)


def _predict_video(
    find: Callable[[NDArray[np.uint8]], Detections],
    source: Path,
    save: Path | None,
    progress: Progress,
) -> Iterator[FramePrediction]:
    with ExitStack() as stack:
        video = VideoFile(source)
        stack.callback(video.close)
        recorder = None
        while (frame := video.read()) is not None:
            detections = find(frame.bgr)
            if save is not None and recorder is None:
                target = save / f"{source.stem}.mp4"
                check_not_source(target, source)
                # The file tells its rate with its first frame.
                recorder = stack.enter_context(VideoRecorder(target, video.fps or 25.0))
            if recorder is not None:
                recorder.write(draw(frame.bgr, detections))
            hw = (frame.bgr.shape[0], frame.bgr.shape[1])
            yield FramePrediction(f"{source.name}#{frame.index}", hw, detections, frame.index)
            if (frame.index + 1) % 100 == 0:
                progress(f"{frame.index + 1} frames")


def saved_name(picture: Path) -> str:
    """File name of the annotated copy: its own, with ``.png`` behind it where it is grey only."""
    return picture.name + (".png" if picture.suffix.lower() == ".pgm" else "")


def _write_picture(path: Path, frame_bgr: NDArray[np.uint8]) -> None:
    try:
        data = encode_picture(frame_bgr, path.suffix.lower())
    except OutputError as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    write_bytes(path, data)
