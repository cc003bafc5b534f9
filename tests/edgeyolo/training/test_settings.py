"""Settings: typed, listed, changed by text, saved and read back."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite, nan

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgeyolo.cli.train_command import command
from edgeyolo.data.augment_yolov7 import YOLOV7_AUGMENTATION_RANGES
from edgeyolo.data.augment_yolox import YOLOX_AUGMENTATION_RANGES
from edgeyolo.data.ranges import Range
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.spec import Family
from edgeyolo.training.recipe import (
    RANGES,
    YOLOV7_RANGES,
    YOLOX_RANGES,
    YoloV7Recipe,
    YoloxRecipe,
    recipe_for,
    warmup_iterations,
)
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.settings import Setting, as_plain, changed, from_plain, listed
from edgeyolo.training.yolov7_loss import Assignment


def test_text_becomes_the_type_of_the_field() -> None:
    recipe = changed(
        YoloV7Recipe(),
        [
            "lr=0.02",
            "nominal_batch=32",
            "linear=true",
            "assignment=plain",
            "augmentation.hsv=0.1,0.2,0.3",
        ],
    )
    assert (recipe.lr, recipe.nominal_batch, recipe.linear) == (0.02, 32, True)
    assert recipe.assignment is Assignment.PLAIN
    assert recipe.augmentation.hsv == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lr", "key=value"),
        ("speed=1", "unknown setting 'speed'; known here: momentum"),
        ("warmup_epochs=soon", "expected float"),
        ("augmentation=1", "'augmentation' is a group"),
        ("augmentation.hsv=1,2", "expected float,float,float"),
        (
            "multiscale_units=9,3",
            "multiscale_units must be 1 to 256, the first not above",
        ),
        ("momentum=2", "momentum must be 0 to below 1; got 2"),
        ("augmentation.scale=0.5", "'augmentation.scale'; known here: augmentation.mosaic, "),
        ("augmentation.mosaic_scale=2,1", r"augmentation\.mosaic_scale must be 0\.01 to 10, the"),
        ("augmentation.mosaic=7", r"augmentation\.mosaic must be 0 to 1; got 7"),
        ("clip_norm=-1", "clip_norm must be finite and at least 0; got -1"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(text: str, reason: str) -> None:
    recipe = YoloV7Recipe() if "hsv" in text else YoloxRecipe()
    with pytest.raises(ValueError, match=reason):
        changed(recipe, [text])


@pytest.mark.parametrize("name", VARIANTS)
def test_recipes_survive_being_saved(name: str) -> None:
    architecture = VARIANTS[name].architecture
    recipe = recipe_for(architecture, epochs=300, input_hw=VARIANTS[name].input_hw)
    assert from_plain(as_plain(recipe), type(recipe)) == recipe
    assert all(entry.help for entry in listed(recipe))


def test_published_recipes_differ_where_the_papers_say() -> None:
    recipes = {
        name: recipe_for(variant.architecture, epochs=300, input_hw=variant.input_hw)
        for name, variant in VARIANTS.items()
    }
    nano, small = recipes["yolox-nano"], recipes["yolox-s"]
    assert isinstance(nano, YoloxRecipe)
    assert isinstance(small, YoloxRecipe)
    assert (nano.augmentation.mosaic, nano.augmentation.mixup) == (0.5, 0.0)
    assert (small.augmentation.mosaic, small.augmentation.mixup) == (1.0, 1.0)
    assert (nano.warmup_epochs, nano.final_epochs) == (5.0, 15)
    tiny, large, huge = (recipes[f"yolov7-{name}"] for name in ("tiny", "l", "w6"))
    assert isinstance(tiny, YoloV7Recipe)
    assert isinstance(large, YoloV7Recipe)
    assert isinstance(huge, YoloV7Recipe)
    assert (tiny.final_ratio, tiny.class_gain, tiny.objectness_gain) == (0.01, 0.5, 1.0)
    assert (large.final_ratio, large.class_gain, large.objectness_gain) == (0.1, 0.3, 0.7)
    assert (huge.final_ratio, huge.assignment) == (0.2, Assignment.AUXILIARY_OTA)


def test_short_trainings_have_short_phases() -> None:
    architecture = VARIANTS["yolox-s"].architecture
    recipe = recipe_for(architecture, epochs=12, input_hw=(640, 640))
    assert isinstance(recipe, YoloxRecipe)
    assert (recipe.warmup_epochs, recipe.final_epochs) == (1.0, 3)
    assert warmup_iterations(YoloV7Recipe(), 10, 20) == 100
    assert warmup_iterations(YoloV7Recipe(), 1849, 300) == 5547


ALLOWED = {
    YoloxRecipe: {
        **RANGES,
        **YOLOX_RANGES,
        **{f"augmentation.{key}": value for key, value in YOLOX_AUGMENTATION_RANGES.items()},
    },
    YoloV7Recipe: {
        **RANGES,
        **YOLOV7_RANGES,
        **{f"augmentation.{key}": value for key, value in YOLOV7_AUGMENTATION_RANGES.items()},
    },
}


def text_of(entry: Setting, number: float) -> str:
    """*number* for every place of a setting."""
    shown = str(int(number)) if "int" in entry.kind and number % 1 == 0 else repr(number)
    return ",".join([shown] * (len(entry.value) if isinstance(entry.value, tuple) else 1))


def refused_numbers(entry: Setting, allowed: Range) -> list[float]:
    step = 1.0 if "int" in entry.kind else 1e-3
    below = allowed.low if allowed.open_low else allowed.low - step
    numbers = [nan, inf, -inf, -1e300, -1.0, below]
    if allowed.high is not None:
        numbers += [allowed.high if allowed.open_high else allowed.high * 1.5, 1e300]
    return numbers


@pytest.mark.parametrize("kind", [YoloxRecipe, YoloV7Recipe])
def test_every_number_of_a_recipe_has_a_range(kind: type[YoloxRecipe | YoloV7Recipe]) -> None:
    """Outside of it and where it is not finite a value is refused by name, at its ends not."""
    numbers = [e for e in listed(kind()) if "float" in e.kind or "int" in e.kind]
    assert {entry.key for entry in numbers} == set(ALLOWED[kind])
    for entry in numbers:
        allowed = ALLOWED[kind][entry.key]
        for number in refused_numbers(entry, allowed):
            with pytest.raises(ValueError, match=entry.key.replace(".", r"\.")) as failure:
                changed(kind(), [f"{entry.key}={text_of(entry, number)}"])
            assert "\n" not in str(failure.value)
        ends = [] if allowed.open_low else [allowed.low]
        ends += [] if allowed.open_high or allowed.high is None else [allowed.high]
        for number in ends:
            changed(kind(), [f"{entry.key}={text_of(entry, number)}"])


@given(st.sampled_from([YoloxRecipe, YoloV7Recipe]), st.data())
def test_any_number_is_either_in_the_range_or_refused(
    kind: type[YoloxRecipe | YoloV7Recipe], data: st.DataObject
) -> None:
    numbers = [entry for entry in listed(kind()) if "float" in entry.kind]
    entry = data.draw(st.sampled_from(numbers))
    number = data.draw(st.floats())
    assignment = f"{entry.key}={text_of(entry, number)}"
    if isfinite(number) and number in ALLOWED[kind][entry.key]:
        changed(kind(), [assignment])
    else:
        with pytest.raises(ValueError, match="must be"):
            changed(kind(), [assignment])


@pytest.mark.parametrize("name", VARIANTS)
def test_auxiliary_assignment_needs_auxiliary_heads(name: str) -> None:
    settings = ("assignment=auxiliary_ota",)
    request = TrainingRequest(
        model=name, data="", epochs=1, batch=1, output="", settings=settings, input_hw=(128, 128)
    )
    if name in ("yolov7-w6", "yolov7-e6", "yolov7-d6", "yolov7-e6e"):
        assert request.plan().input_hw == (128, 128)
        with pytest.raises(ValueError, match="multiples of 64"):
            replace(request, input_hw=(96, 96)).plan()
        return
    with pytest.raises(ValueError, match=f"and {name} has not|unknown setting 'assignment'"):
        request.plan()
    assert replace(request, settings=(), input_hw=(96, 96)).plan().input_hw == (96, 96)


def test_help_config_lists_every_setting_of_a_family() -> None:
    for name, kind in (("yolox-nano", YoloxRecipe), ("yolov7-tiny", YoloV7Recipe)):
        result = CliRunner().invoke(command, [name, "--help-config"])
        assert result.exit_code == 0, result.output
        shown = {line.split("=")[0] for line in result.output.splitlines()}
        assert shown == {entry.key for entry in listed(kind())}
    assert VARIANTS["yolox-nano"].architecture.family is Family.YOLOX


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name a MODEL"),
        (["yolox-nano"], "--data and --output"),
        (["yolo-best", "--help-config"], "unknown model"),
        (["yolox-nano", "--help-config", "--set", "x=1"], "unknown setting"),
        (["--resume", ".", "yolox-nano"], "keeps model: leave that out"),
        (["yolox-nano", "--data", ".", "--output", "x", "--seed", "-1"], "--seed"),
        (["yolov7-w6", "--data", ".", "--output", "x", "--input-size", "96"], "multiples of 64"),
        (
            ["yolov7-tiny", "--data", ".", "--output", "x", "--set", "anchor_threshold=0"],
            "anchor_threshold must be above 1",
        ),
        (["--resume", ".", "--epochs", "5"], "keeps --epochs: leave that out"),
        (
            ["--resume", ".", "--seed", "0", "--split", "val", "--no-tensorboard"],
            "keeps --split, --seed: leave that out",
        ),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert reason in result.output
