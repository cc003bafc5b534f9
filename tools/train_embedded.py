"""Train the embedded detector again: render scenes, train, halve, measure, write the card.

    python tools/train_embedded.py --work RUN_FOLDER [--weights yolox-nano]

Writes ``edgeyolo/embedded/detector.pth`` and ``detector.json``. Two CPU cores need about 35
minutes; a run that was interrupted goes on where it was. Official YOLOX-Nano (Apache-2.0) is the
starting point; ``--weights`` takes its name (fetched, verified) or a file.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from edgeyolo.atomic import write_bytes
from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.embedded.detector import CARD, CHECKPOINT, DetectorCard, MeasuredOn
from edgeyolo.models.flops import count_parameters
from edgeyolo.scenes import SCENE_CLASSES, Difficulty
from edgeyolo.scenes.folder import write_scenes
from edgeyolo.training.plan import MixedPrecision
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.session import resume, train
from edgeyolo.validation import ValidationRequest, validate
from edgeyolo.weights import resolve_weights

PACKAGE = Path(__file__).resolve().parent.parent / "edgeyolo" / "embedded"
INPUT_HW = (320, 320)
FIRST_SEED = 1
SCENES = 8000
# Best epoch is chosen on the first set, so the second one is the unbiased figure.
HELD_OUT = (
    ("selection", 900_001, 300, Difficulty.NORMAL),
    ("held out", 2_000_001, 500, Difficulty.NORMAL),
    ("held out, hard", 3_000_001, 500, Difficulty.HARD),
)
TRAINING: dict[str, Any] = {
    "model": "yolox-nano",
    "epochs": 6,
    "batch": 16,
    "seed": 1,
    "precision": MixedPrecision.BF16,
    "settings": (
        "multiscale=false",
        "augmentation.mirror=0",  # an arrow in a mirror is another sign
        "lr_per_picture=0.0003125",
        "warmup_epochs=0.5",
        "final_epochs=1",
        "ema_decay=0.999",
        "evaluation_interval=1",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="Scenes and run; kept.")
    parser.add_argument("--weights", default="yolox-nano", help="Name or file to start from.")
    arguments = parser.parse_args()
    work: Path = arguments.work
    best = _trained(work, resolve_weights(arguments.weights, say=print))
    target = PACKAGE / CHECKPOINT
    loaded = load_model(best)
    # Batch norms stay in fp32: the variance behind pixels of 0..255 overflows fp16.
    half = {
        key: value.half() if value.ndim == 4 else value
        for key, value in loaded.model.state_dict().items()
    }
    save_checkpoint(target, half, replace(loaded.spec, license="Apache-2.0"))
    card = DetectorCard(
        sha256=hashlib.sha256(target.read_bytes()).hexdigest(),
        class_names=SCENE_CLASSES,
        input_hw=INPUT_HW,
        parameters=count_parameters(loaded.model),
        started_from=Path(arguments.weights).name,
        first_seed=FIRST_SEED,
        scenes=SCENES,
        training={**TRAINING, "precision": TRAINING["precision"].value},
        measured=tuple(_measure(work, target, *held_out) for held_out in HELD_OUT),
    )
    text = msgspec.json.format(msgspec.json.encode(card), indent=2)
    write_bytes(PACKAGE / CARD, text + b"\n")
    print(text.decode())
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")


def _trained(work: Path, weights: Path) -> Path:
    run = work / "run"
    if (run / "last.pt").exists():
        return resume(run).checkpoint
    request = TrainingRequest(
        **TRAINING,
        data=str(_scenes(work, "train", FIRST_SEED, SCENES, Difficulty.NORMAL)),
        val=str(_scenes(work, *HELD_OUT[0])),
        output=str(run),
        input_hw=INPUT_HW,
        weights=str(weights),
        workers=1,
        tensorboard=False,
    )
    return train(request).checkpoint


def _measure(
    work: Path, checkpoint: Path, name: str, first_seed: int, scenes: int, difficulty: Difficulty
) -> MeasuredOn:
    folder = _scenes(work, name, first_seed, scenes, difficulty)
    report = validate(
        ValidationRequest(model=checkpoint, annotations=folder / "instances.json")
    ).report
    return MeasuredOn(
        name=name,
        first_seed=first_seed,
        scenes=scenes,
        difficulty=difficulty.value,
        ap=round(report.ap, 4),
        ap50=round(report.ap50, 4),
    )


def _scenes(work: Path, name: str, first_seed: int, count: int, difficulty: Difficulty) -> Path:
    folder = work / name.replace(", ", "-").replace(" ", "-")
    if not (folder / "instances.json").exists():
        print(f"rendering {count} scenes: {name}", file=sys.stderr)
        write_scenes(folder, count, first_seed, INPUT_HW, difficulty)
    return folder.resolve()


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
