"""COCO average precision: the twelve numbers, from anything that finds objects in a frame.

Needs no torch, so that a device can measure its own artifact. faster-coco-eval gives the
numbers of pycocotools, faster (TOOLCHAIN of the project: identical to the last digit).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.class_names import same_classes
from edgeyolo.data.dataset import DetectionDataset, LabeledPicture
from edgeyolo.data.pictures import read_picture
from edgeyolo.detections import Detections
from edgeyolo.errors import DatasetError, needs

Frame = NDArray[np.uint8]
Predict = Callable[[Frame], Detections]
Progress = Callable[[int, int], None]


class ClassMatching(str, Enum):
    """How the classes of a model find those of a data set.

    NAMES: By equal names; classes that only one side knows are left out. Capitals matter only
        where a side has names that differ in nothing else.
    ORDER: Class i is class i, whatever the names; needs equally many.
    STRICT: By names, and every class of the data set must be known to the model.
    """

    NAMES = "names"
    ORDER = "order"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One class: average precision, recall at 100 detections, and how many objects there are.

    -1 where the data set has no such object, as in COCO's tools.
    """

    name: str
    ap: float
    ap50: float
    ar100: float
    objects: int


@dataclass(frozen=True, slots=True)
class CocoReport:
    """COCO's twelve numbers, 0..1 (-1 where the data set has no object of that size).

    Attributes:
        ap: Mean over IoU .50:.05:.95 and over classes; the number people quote.
        ap50: At IoU .50.
        ap75: At IoU .75.
        ap_small: Objects below 32 x 32 pixels.
        ap_medium: From 32 x 32 to 96 x 96 pixels.
        ap_large: Above.
        ar1: Recall with one detection per picture and class.
        ar10: With ten.
        ar100: With a hundred.
        ar_small: With a hundred, small objects.
        ar_medium: Medium objects.
        ar_large: Large objects.
        classes: In class-id order of the data set.
        pictures: Evaluated pictures.
        detections: Detections that were counted.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    classes: tuple[ClassAccuracy, ...]
    pictures: int
    detections: int

    def twelve(self) -> tuple[float, ...]:
        """The numbers in the order of COCO's ``stats``."""
        return tuple(getattr(self, field) for field in TWELVE)

    def as_dict(self) -> dict[str, object]:
        """The report as plain data for JSON."""
        return asdict(self)

    def text(self, *, per_class: bool = False) -> str:
        """The table that people read."""
        lines = [
            f"{label:<34} {_shown(value)}"
            for label, value in zip(_LABELS, self.twelve(), strict=True)
        ]
        lines.append(f"{self.pictures} pictures, {self.detections} detections")
        if per_class:
            lines += ["", f"{'class':<24}{'objects':>8}{'AP':>8}{'AP50':>8}{'AR100':>8}"]
            lines += [
                f"{row.name:<24}{row.objects:>8}{_shown(row.ap):>8}{_shown(row.ap50):>8}"
                f"{_shown(row.ar100):>8}"
                for row in self.classes
                if row.objects
            ]
        return "\n".join(lines)


TWELVE = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
_LABELS = (
    "AP    IoU .50:.95",
    "AP50  IoU .50",
    "AP75  IoU .75",
    "AP    small  (< 32x32 px)",
    "AP    medium (32x32 .. 96x96 px)",
    "AP    large  (> 96x96 px)",
    "AR    1 detection",
    "AR    10 detections",
    "AR    100 detections",
    "AR    small",
    "AR    medium",
    "AR    large",
)


def _shown(value: float) -> str:
    return "-" if value < 0 else f"{value:.4f}"


@dataclass(frozen=True, slots=True, eq=False)
class PictureResult:
    """What was found in one picture, class ids already those of the data set.

    Attributes:
        picture_id: As in the data set.
        boxes_xyxy: (N, 4) float32 pixels of the picture.
        scores: (N,) float32.
        class_ids: (N,) int64, indices into the data set's class names.
    """

    picture_id: int
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


def evaluate(
    predict: Predict,
    dataset: DetectionDataset,
    *,
    matching: ClassMatching = ClassMatching.STRICT,
    progress: Progress | None = None,
) -> CocoReport:
    """COCO accuracy of a detector.

    Args:
        predict: Finds objects in one (H, W, 3) uint8 BGR frame, boxes in its pixels; must use
            the family's official evaluation settings (score threshold .001, and so on).
        dataset: Pictures with labels.
        matching: How class names are matched.
        progress: Called with (pictures done, pictures in all).

    Raises:
        DatasetError: A picture cannot be read, or the classes do not match.
    """
    return coco_report(
        collect(predict, dataset.pictures, dataset, matching=matching, progress=progress), dataset
    )


def collect(
    predict: Predict,
    pictures: Sequence[LabeledPicture],
    dataset: DetectionDataset,
    *,
    matching: ClassMatching = ClassMatching.STRICT,
    progress: Progress | None = None,
) -> list[PictureResult]:
    """Run a detector over some pictures of a data set (a rank's share, for example)."""
    results: list[PictureResult] = []
    mapping: NDArray[np.int64] | None = None
    for index, picture in enumerate(pictures):
        found = predict(read_picture(picture.path, ignore_exif=picture.ignore_exif))
        if mapping is None:
            mapping = class_mapping(found.class_names, dataset.class_names, matching)
        results.append(picture_result(picture, found, mapping))
        if progress is not None:
            progress(index + 1, len(pictures))
    return results


def picture_result(
    picture: LabeledPicture, found: Detections, mapping: NDArray[np.int64]
) -> PictureResult:
    """Detections with the data set's class ids; those of classes it lacks are left out."""
    class_ids = mapping[found.class_ids]
    known = class_ids >= 0
    return PictureResult(
        picture.picture_id, found.boxes_xyxy[known], found.scores[known], class_ids[known]
    )


def class_mapping(
    model_names: Sequence[str], dataset_names: Sequence[str], matching: ClassMatching
) -> NDArray[np.int64]:
    """(model classes,) int64: the data set's class of each model class, -1 where there is none.

    Raises:
        DatasetError: The names do not match as *matching* wants.
    """
    if matching is ClassMatching.ORDER:
        if len(model_names) != len(dataset_names):
            raise DatasetError(
                f"the model has {len(model_names)} classes and the data set {len(dataset_names)}; "
                f"they cannot be matched by order"
            )
        return np.arange(len(model_names), dtype=np.int64)
    mapping = np.array(same_classes(model_names, dataset_names), np.int64)
    missing = [name for i, name in enumerate(dataset_names) if i not in set(mapping.tolist())]
    if len(missing) == len(dataset_names) or (missing and matching is ClassMatching.STRICT):
        raise DatasetError(
            f"the model does not know {len(missing)} of the data set's {len(dataset_names)} "
            f"classes ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}); match "
            f"common names only with --match-classes names, or by position with "
            f"--match-classes order"
        )
    return mapping


def coco_report(results: Iterable[PictureResult], dataset: DetectionDataset) -> CocoReport:
    """The twelve numbers of results that were collected, over all pictures of the data set."""
    results = list(results)
    with needs("faster-coco-eval", extra="eval"):
        from faster_coco_eval import COCO, COCOeval_faster
    truth = COCO(coco_document(dataset))
    evaluator = COCOeval_faster(
        truth,
        truth.loadRes(coco_results(results, dataset)),
        iouType="bbox",
        print_function=_silent,
    )
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    numbers = dict(zip(TWELVE, map(float, evaluator.stats), strict=False))
    return CocoReport(
        **numbers,
        classes=_per_class(evaluator.eval, dataset),
        pictures=len(dataset),
        detections=sum(len(result.scores) for result in results),
    )


def coco_document(dataset: DetectionDataset) -> dict[str, Any]:
    """The data set as a COCO annotation document (polygons are left out)."""
    annotations: list[dict[str, Any]] = []
    for picture in dataset.pictures:
        for box, class_id, crowd, area in zip(
            picture.boxes_xyxy.tolist(),
            picture.class_ids.tolist(),
            picture.crowd.tolist(),
            picture.areas.tolist(),
            strict=True,
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture.picture_id,
                    "category_id": dataset.category_ids[class_id],
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "info": {},
        "images": [
            {
                "id": picture.picture_id,
                "file_name": picture.path.name,
                "height": picture.hw[0],
                "width": picture.hw[1],
            }
            for picture in dataset.pictures
        ],
        "annotations": annotations,
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in zip(dataset.category_ids, dataset.class_names, strict=True)
        ],
    }


def coco_results(
    results: Iterable[PictureResult], dataset: DetectionDataset
) -> list[dict[str, Any]]:
    """Results as COCO's result list, category ids those of the data set."""
    rows: list[dict[str, Any]] = []
    for result in results:
        boxes = result.boxes_xyxy.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        for box_xywh, score, class_id in zip(
            boxes.tolist(), result.scores.tolist(), result.class_ids.tolist(), strict=True
        ):
            rows.append(
                {
                    "image_id": result.picture_id,
                    "category_id": dataset.category_ids[class_id],
                    "bbox": box_xywh,
                    "score": score,
                }
            )
    return rows


def _per_class(tables: dict[str, Any], dataset: DetectionDataset) -> tuple[ClassAccuracy, ...]:
    # precision: (IoU, recall, class, area, max detections), recall without the second axis;
    # classes in the order of the sorted category ids.
    precision, recall = np.asarray(tables["precision"]), np.asarray(tables["recall"])
    order = np.argsort(np.argsort(dataset.category_ids))
    counts = dataset.boxes_per_class()
    return tuple(
        ClassAccuracy(
            name,
            _mean(precision[:, :, order[index], 0, -1]),
            _mean(precision[0, :, order[index], 0, -1]),
            _mean(recall[:, order[index], 0, -1]),
            int(counts[index]),
        )
        for index, name in enumerate(dataset.class_names)
    )


def _mean(values: NDArray[np.float64]) -> float:
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else -1.0


def _silent(*_: object) -> None:
    """faster-coco-eval prints its table; ours is printed by the command."""
