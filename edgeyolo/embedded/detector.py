"""Where the embedded detector is, and its card."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeyolo.errors import CheckpointError, one_line

DEMO_NAME = "demo"
"""What people type where a checkpoint is asked for."""
CHECKPOINT = "detector.pth"
CARD = "detector.json"


class MeasuredOn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accuracy of the fp16 checkpoint in PyTorch on rendered scenes it has never seen.

    Attributes:
        name: What the set is for.
        first_seed: The scenes are numbered from here.
        scenes: So many.
        difficulty: ``"normal"`` or ``"hard"``.
        ap, ap50: COCO, 0..1.
    """

    name: str
    first_seed: int
    scenes: int
    difficulty: str
    ap: float
    ap50: float


class DetectorCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the embedded detector was made and what it is worth.

    Attributes:
        sha256: Of the checkpoint.
        class_names: In the order of the class indices.
        input_hw: Network input, pixels.
        parameters: Of the training form.
        started_from: Name of the weights that training started from.
        first_seed, scenes: Of the scenes it was trained on.
        training: The training request, as ``config.json`` of its run has it.
        measured: On scenes of other seeds.
    """

    sha256: str
    class_names: tuple[str, ...]
    input_hw: tuple[int, int]
    parameters: int
    started_from: str
    first_seed: int
    scenes: int
    training: dict[str, object]
    measured: tuple[MeasuredOn, ...]


def checkpoint_path() -> Path:
    """The fp16 checkpoint inside the package.

    Raises:
        CheckpointError: The installation lacks it.
    """
    return _member(CHECKPOINT)


def detector_card() -> DetectorCard:
    """The card that was written with the checkpoint.

    Raises:
        CheckpointError: The installation lacks it, or it is damaged.
    """
    path = _member(CARD)
    try:
        return msgspec.json.decode(path.read_bytes(), type=DetectorCard)
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({one_line(error)}); install edgeyolo again"
        ) from error


def _member(name: str) -> Path:
    path = Path(__file__).with_name(name)
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; install edgeyolo again")
    return path
