"""The published augmentation of every variant."""

from __future__ import annotations

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


def family_of(model: str) -> Family:
    """The family of a model's name, ``yolox-s`` or ``yolov7-tiny``.

    Raises:
        UnsupportedError: No such model.
    """
    name, _, variant = model.partition("-")
    known = {"yolox": YOLOX_AUGMENTATION, "yolov7": YOLOV7_RECIPES}
    if name not in known or variant not in known[name]:
        names = [f"{family}-{word}" for family, words in known.items() for word in words]
        raise UnsupportedError(f"no model {model!r}; there are: {', '.join(names)}")
    return Family(name)


def augmentation_of(model: str) -> YoloxAugmentation | YoloV7Augmentation:
    """The augmentation that *model* was published with.

    Raises:
        UnsupportedError: No such model.
    """
    family = family_of(model)
    variant = model.partition("-")[2]
    if family is Family.YOLOX:
        return YOLOX_AUGMENTATION[variant]
    return YOLOV7_AUGMENTATION[YOLOV7_RECIPES[variant]]
