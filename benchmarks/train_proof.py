"""Fine-tuning leaves a good detector good, and eight pictures are learned by heart.

    python benchmarks/train_proof.py --shared ../shared/assets --output RUNS
        [--parts nano-finetune,nano-eight,tiny-eight] [--epochs N] [--workers 0] [--device cpu]

Each part is one run of ``edgeyolo train`` from start to end, with ``edgeyolo val`` before and
after; what it was started with is printed above the table. ``--epochs`` is for a quick look.

* nano-finetune: official YOLOX-Nano on 128 pictures of COCO with every published augmentation and
  all input sizes; AP on 198 other pictures.
* nano-eight and tiny-eight: eight pictures with the augmentation switched off; AP on the same
  eight. They are those of the 128 whose smallest object is largest (ties: lowest id), so that
  small inputs still show every object.

AP is that of ``last.pt``, not of the best epoch. The losses are those of the first and of the
last epoch, without YOLOX's L1 part, which exists in the last ones only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

_NANO = "weights/yolox_nano_0.1.1rc0_refolded.pth"
_TINY = "weights/yolov7_tiny_release_graph_partial_weights.pt"
_EIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One training of the table.

    Attributes:
        model: To train.
        weights: To start from, below the folder of shared files.
        size: Input, pixels.
        epochs: Length.
        batch: Pictures of a batch.
        eight: Whether the eight pictures are trained and measured on; else the 128 and the 198.
        settings: Changes of the published recipe.
    """

    model: str
    weights: str
    size: int
    epochs: int
    batch: int
    eight: bool
    settings: tuple[str, ...]


_NO_YOLOX_AUGMENTATION = tuple(f"augmentation.{key}=0" for key in ("mosaic", "hsv", "mirror"))
_NO_YOLOV7_AUGMENTATION = (
    *(f"augmentation.{key}=0" for key in ("mosaic", "translate", "scale", "mirror")),
    "augmentation.hsv=0,0,0",
)
PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "nano-finetune": Part(
            model="yolox-nano",
            weights=_NANO,
            size=416,
            epochs=4,
            batch=16,
            eight=False,
            settings=(),
        ),
        "nano-eight": Part(
            model="yolox-nano",
            weights=_NANO,
            size=256,
            epochs=80,
            batch=8,
            eight=True,
            settings=("multiscale=false", "evaluation_interval=20", *_NO_YOLOX_AUGMENTATION),
        ),
        "tiny-eight": Part(
            model="yolov7-tiny",
            weights=_TINY,
            size=192,
            epochs=600,
            batch=8,
            eight=True,
            settings=(
                # One step a batch, and a warm-up that fits so few of them. The objectness gain
                # shrinks with the square of the input: 11 at 192 is 1 at 640.
                "nominal_batch=0",
                "warmup_min_iterations=30",
                "objectness_gain=11",
                "evaluation_interval=50",
                *_NO_YOLOV7_AUGMENTATION,
            ),
        ),
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="weights and both COCO parts")
    parser.add_argument("--output", type=Path, required=True, help="for the runs; must be new")
    parser.add_argument("--parts", default=",".join(PARTS), help="names, with commas")
    parser.add_argument("--epochs", type=int, help="instead of each part's own")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    wanted = arguments.parts.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"unknown parts {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    shared: Path = arguments.shared.resolve()
    arguments.output.mkdir(parents=True)
    train, val = shared / "coco128_train2017", shared / "coco_val2017_subset"
    eight = arguments.output / "eight"
    largest_smallest(train, eight, _EIGHT)
    rows = []
    for name in wanted:
        part = PARTS[name]
        data, measured_on = (eight, eight) if part.eight else (train, val)
        rows.append(
            proved(
                name,
                part,
                shared / part.weights,
                (data, measured_on),
                arguments.output / name,
                epochs=arguments.epochs or part.epochs,
                options=("--workers", str(arguments.workers), "--device", arguments.device),
            )
        )
    print("\n| part | epochs | loss first | last | AP before | after | seconds | pictures/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))


def proved(
    name: str,
    part: Part,
    weights: Path,
    data: tuple[Path, Path],
    run: Path,
    *,
    epochs: int,
    options: tuple[str, ...],
) -> str:
    """Train *part* on the first of *data*, measure it on the second; a row of the table."""
    before = average_precision(weights, data[1], part.size)
    changes = [word for setting in part.settings for word in ("--set", setting)]
    started = time.monotonic()
    words = ["train", part.model, "--weights", weights, "--data", data[0], "--val", data[1]]
    words += ["--epochs", epochs, "--batch", part.batch, "--input-size", part.size]
    edgeyolo([*words, *changes, *options, "--no-tensorboard", "--output", run])
    seconds = time.monotonic() - started
    after = average_precision(run / "last.pt", data[1], part.size)
    with (run / "log.csv").open(encoding="utf-8") as file:
        log = list(csv.DictReader(file))
    speed = len(log) / sum(1 / float(row["pictures_per_second"]) for row in log)
    return (
        f"| {name} | {len(log)} | {loss(log[0]):.3f} | {loss(log[-1]):.3f} | {before:.4f} "
        f"| {after:.4f} | {seconds:.0f} | {speed:.1f} |"
    )


def loss(row: Mapping[str, str]) -> float:
    """The loss of an epoch, without YOLOX's L1 part."""
    return float(row["loss/total"]) - float(row.get("loss/l1") or 0.0)


def average_precision(weights: Path, data: Path, size: int) -> float:
    """COCO AP of a checkpoint, 0..1, with its family's official settings."""
    found = edgeyolo(
        ["val", weights, "--annotations", data, "--input-size", size, "--json", "--device", "cpu"]
    )
    return float(json.loads(found)["ap"])


def edgeyolo(words: list[Any]) -> str:
    """What a command of edgeyolo prints; its progress goes on to stderr."""
    command = [str(word) for word in words]
    print(f"edgeyolo {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "edgeyolo", *command], stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout


def largest_smallest(source: Path, target: Path, count: int) -> None:
    """A data set of the *count* pictures, without crowds, whose smallest object is largest."""
    content = json.loads((source / "instances.json").read_text(encoding="utf-8"))
    smallest: dict[int, float] = {}
    for box in content["annotations"]:
        area = 0.0 if box["iscrowd"] else box["bbox"][2] * box["bbox"][3]
        smallest[box["image_id"]] = min(area, smallest.get(box["image_id"], area))
    chosen = set(sorted(smallest, key=lambda number: (-smallest[number], number))[:count])
    content["images"] = [image for image in content["images"] if image["id"] in chosen]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in chosen]
    (target / "images").mkdir(parents=True)
    for image in content["images"]:
        picture = Path("images") / image["file_name"]
        os.symlink(source.resolve() / picture, target / picture)
    (target / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    ids = ", ".join(str(image["id"]) for image in content["images"])
    print(f"the {count} pictures: {ids} ({len(content['annotations'])} objects)", file=sys.stderr)


if __name__ == "__main__":
    main()
