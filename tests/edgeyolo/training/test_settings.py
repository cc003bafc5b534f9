"""Settings: typed, listed, changed by text, saved and read back."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from edgeyolo.cli.train_command import command
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.spec import Family
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe, recipe_for, warmup_iterations
from edgeyolo.training.settings import as_plain, changed, from_plain, listed
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
        ("multiscale_units=9,3", "1 <= low <= high"),
        ("momentum=2", r"momentum must be in \[0, 1\)"),
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
        (["--resume", ".", "yolox-nano"], "leave out model"),
        (["--resume", ".", "--epochs", "5"], "leave out --epochs"),
        (
            ["--resume", ".", "--seed", "0", "--no-tensorboard"],
            "leave out --seed, --no-tensorboard",
        ),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert reason in result.output
