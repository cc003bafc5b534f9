"""Every default of both recipes against the published ones, typed off FACTS 4 and 9.

What is no hyper-parameter of the papers but a choice of ours is in a table of its own.
"""

from __future__ import annotations

import pytest

from edgeyolo.models.zoo import VARIANTS
from edgeyolo.training.recipe import Recipe, recipe_for
from edgeyolo.training.settings import as_plain, listed

# FACTS 4.1, recipe; 4.2, ranges of the augmentation. All variants.
YOLOX = {
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "ema_decay": 0.9998,
    "evaluation_interval": 10,
    "multiscale": True,
    "lr_per_picture": 0.01 / 64,
    "warmup_epochs": 5.0,
    "final_epochs": 15,
    "floor_ratio": 0.05,
    "multiscale_interval": 10,
    "augmentation.mixup_scale": (0.5, 1.5),
    "augmentation.degrees": 10.0,
    "augmentation.translate": 0.1,
    "augmentation.shear": 2.0,
    "augmentation.hsv": 1.0,
    "augmentation.hsv_offsets": (5.0, 30.0, 30.0),
    "augmentation.mirror": 0.5,
}
# FACTS 4.1, multi-scale and "Per-variant differences".
YOLOX_SMALL = {
    "multiscale_units": (10, 20),
    "augmentation.mosaic": 1.0,
    "augmentation.mosaic_scale": (0.5, 1.5),
    "augmentation.mixup": 0.0,
}
YOLOX_LARGE = {
    "multiscale_units": (15, 25),
    "augmentation.mosaic": 1.0,
    "augmentation.mosaic_scale": (0.1, 2.0),
    "augmentation.mixup": 1.0,
}
# FACTS 9.1, "Common" and the notes below the table; 9.2 for the mosaics of nine.
YOLOV7 = {
    "momentum": 0.937,
    "weight_decay": 5e-4,
    "ema_decay": 0.9999,
    "nominal_batch": 64,
    "multiscale": False,
    "lr": 0.01,
    "linear": False,
    "warmup_epochs": 3.0,
    "warmup_min_iterations": 1000,
    "warmup_momentum": 0.8,
    "warmup_bias_lr": 0.1,
    "box_gain": 0.05,
    "class_positive_weight": 1.0,
    "objectness_positive_weight": 1.0,
    "anchor_threshold": 4.0,
    "label_smoothing": 0.0,
    "focal_gamma": 0.0,
    "auto_anchor": True,
    "min_anchor_recall": 0.98,
    "augmentation.mosaic": 1.0,
    "augmentation.nine": 0.2,
    "augmentation.degrees": 0.0,
    "augmentation.shear": 0.0,
    "augmentation.perspective": 0.0,
    "augmentation.hsv": (0.015, 0.7, 0.4),
    "augmentation.flip": 0.0,
    "augmentation.mirror": 0.5,
}
# FACTS 9.1, the columns of the table: P5, tiny, P6; and scratch.custom.
YOLOV7_P5 = {
    "final_ratio": 0.1,
    "assignment": "ota",
    "class_gain": 0.3,
    "objectness_gain": 0.7,
    "augmentation.translate": 0.2,
    "augmentation.scale": 0.9,
    "augmentation.mixup": 0.15,
    "augmentation.paste_in": 0.15,
}
YOLOV7_TINY = {
    "final_ratio": 0.01,
    "assignment": "ota",
    "class_gain": 0.5,
    "objectness_gain": 1.0,
    "augmentation.translate": 0.1,
    "augmentation.scale": 0.5,
    "augmentation.mixup": 0.05,
    "augmentation.paste_in": 0.05,
}
YOLOV7_P6 = {**YOLOV7_P5, "final_ratio": 0.2, "assignment": "auxiliary_ota"}
YOLOV7_CUSTOM = {
    "final_ratio": 0.1,
    "class_gain": 0.3,
    "objectness_gain": 0.7,
    "augmentation.translate": 0.2,
    "augmentation.scale": 0.5,
    "augmentation.mixup": 0.0,
    "augmentation.paste_in": 0.0,
}
# Not in the tables. YOLOv7 is evaluated after every epoch; no gradient is clipped, no training
# stopped early; batch statistics are common to all processes, as in the commands of the papers.
OURS = {"clip_norm": 0.0, "sync_batch_norm": True, "patience": 0, "max_bad_batches": 10}
OURS_YOLOX = {**OURS, "nominal_batch": 0}
OURS_YOLOV7 = {**OURS, "evaluation_interval": 1, "height_for_both_axes": False}

PUBLISHED = {
    "yolox-nano": {**YOLOX, **YOLOX_SMALL, **OURS_YOLOX, "augmentation.mosaic": 0.5},
    "yolox-tiny": {**YOLOX, **YOLOX_SMALL, **OURS_YOLOX},
    **{f"yolox-{size}": {**YOLOX, **YOLOX_LARGE, **OURS_YOLOX} for size in "smlx"},
    "yolov7-tiny": {**YOLOV7, **YOLOV7_TINY, **OURS_YOLOV7},
    **{f"yolov7-{size}": {**YOLOV7, **YOLOV7_P5, **OURS_YOLOV7} for size in "lx"},
    **{
        f"yolov7-{size}": {**YOLOV7, **YOLOV7_P6, **OURS_YOLOV7}
        for size in ("w6", "e6", "d6", "e6e")
    },
}


def table_of(recipe: Recipe) -> dict[str, object]:
    """Every hyper-parameter by its key, choices as their words."""
    plain = as_plain(recipe)
    return {
        entry.key: plain[entry.key] if entry.key == "assignment" else entry.value
        for entry in listed(recipe)
    }


def recipe_of(name: str, *, fine_tuning: bool = False) -> Recipe:
    variant = VARIANTS[name]
    return recipe_for(
        variant.architecture, epochs=300, input_hw=variant.input_hw, fine_tuning=fine_tuning
    )


def test_every_network_has_a_published_recipe() -> None:
    assert set(PUBLISHED) == set(VARIANTS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_default_is_the_published_one(name: str) -> None:
    assert table_of(recipe_of(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_fine_tuning_changes_what_it_says(name: str) -> None:
    """YOLOv7: scratch.custom of FACTS 9.1. YOLOX: a tenth of the rate, a choice of ours."""
    found = table_of(recipe_of(name, fine_tuning=True))
    if name.startswith("yolov7"):
        assert found == {**PUBLISHED[name], **YOLOV7_CUSTOM}
    else:
        assert found == {**PUBLISHED[name], "lr_per_picture": pytest.approx(0.001 / 64)}
