"""The detector that comes with the package is what its card says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from edgeyolo.checkpoints.load import load_model
from edgeyolo.embedded import DEMO_NAME, checkpoint_path, detector, detector_card
from edgeyolo.errors import CheckpointError
from edgeyolo.models.flops import count_parameters
from edgeyolo.scenes import SCENE_CLASSES, Difficulty
from edgeyolo.scenes.folder import write_scenes
from edgeyolo.training.plan import MixedPrecision
from edgeyolo.training.request import TrainingRequest
from edgeyolo.validation import ValidationRequest, validate
from edgeyolo.weights import resolve_weights


def test_the_checkpoint_is_small_and_the_one_of_the_card() -> None:
    path, card = checkpoint_path(), detector_card()
    assert path.stat().st_size < 4_000_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    loaded = load_model(path)
    assert loaded.spec.class_names == card.class_names == SCENE_CLASSES
    assert loaded.spec.input_hw == card.input_hw == (320, 320)
    assert loaded.spec.license == "Apache-2.0"
    assert count_parameters(loaded.model) == card.parameters


def test_its_name_stands_for_it_wherever_weights_are_named() -> None:
    assert resolve_weights(DEMO_NAME) == checkpoint_path()


def test_the_card_names_a_training_that_the_trainer_accepts() -> None:
    card = detector_card()
    training: dict[str, Any] = {**card.training, "settings": tuple(card.training["settings"])}  # type: ignore[arg-type]
    training["precision"] = MixedPrecision(training["precision"])
    request = TrainingRequest(**training, data="scenes", output="run", input_hw=card.input_hw)
    assert request.recipe().augmentation.mirror == 0


def test_the_accuracy_of_the_card_is_of_other_scenes_than_training_saw() -> None:
    card = detector_card()
    seen = range(card.first_seed, card.first_seed + card.scenes)
    assert {measured.difficulty for measured in card.measured} == {"normal", "hard"}
    for measured in card.measured:
        assert measured.first_seed not in seen
        assert measured.first_seed + measured.scenes - 1 not in seen
        if measured.difficulty == "normal":
            assert measured.ap >= 0.85


def test_it_finds_the_symbols_of_scenes_it_has_never_seen(tmp_path: Path) -> None:
    held_out = next(one for one in detector_card().measured if one.name == "held out")
    write_scenes(tmp_path / "scenes", 64, held_out.first_seed, (320, 320), Difficulty.NORMAL)
    found = validate(
        ValidationRequest(
            model=checkpoint_path(), annotations=tmp_path / "scenes" / "instances.json"
        )
    )
    # The card's figure is of more scenes; of 64 it may differ by about .02.
    assert found.report.ap >= 0.85
    assert found.report.ap == pytest.approx(held_out.ap, abs=0.03)


def test_an_installation_that_lacks_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "__file__", "/nowhere/detector.py")
    with pytest.raises(CheckpointError, match=r"detector\.pth is missing; install edgeyolo again"):
        checkpoint_path()


def test_a_damaged_card_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_text('{"sha256": 1}')
    monkeypatch.setattr(detector, "__file__", str(tmp_path / "detector.py"))
    with pytest.raises(CheckpointError, match="install edgeyolo again"):
        detector_card()
