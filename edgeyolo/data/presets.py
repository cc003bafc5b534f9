"""The published augmentation of every variant."""

from __future__ import annotations

from collections.abc import Mapping

from edgeyolo.data.augment_yolov7 import YOLOV7_AUGMENTATION, YoloV7Augmentation
from edgeyolo.data.augment_yolox import YOLOX_AUGMENTATION, YoloxAugmentation
from edgeyolo.errors import UnsupportedError
from edgeyolo.spec import Family

# Which published set of hyper-parameters a YOLOv7 variant is trained with (FACTS 9.1).
YOLOV7_RECIPES = {
    "tiny": "tiny",
    "l": "p5",
    "x": "p5",
    "w6": "p6",
    "e6": "p6",
    "d6": "p6",
    "e6e": "p6",
}
_PUBLISHED: Mapping[Family, Mapping[str, YoloxAugmentation | YoloV7Augmentation]] = {
    Family.YOLOX: YOLOX_AUGMENTATION,
    Family.YOLOV7: {
        variant: YOLOV7_AUGMENTATION[recipe] for variant, recipe in YOLOV7_RECIPES.items()
    },
}


def family_of(model: str) -> Family:
    """The family of a model's name, ``yolox-s`` or ``yolov7-tiny``.

    Raises:
        UnsupportedError: No such model.
    """
    name, _, variant = model.partition("-")
    known = {family.value: variants for family, variants in _PUBLISHED.items()}
    if name not in known or variant not in known[name]:
        names = [f"{family}-{word}" for family, words in known.items() for word in words]
        raise UnsupportedError(f"no model {model!r}; there are: {', '.join(names)}")
    return Family(name)


def augmentation_of(model: str) -> YoloxAugmentation | YoloV7Augmentation:
    """The augmentation that *model* was published with.

    Raises:
        UnsupportedError: No such model.
    """
    return _PUBLISHED[family_of(model)][model.partition("-")[2]]
