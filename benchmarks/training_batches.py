"""How many training pictures a second the loader prepares, for each family and cache.

    python benchmarks/training_batches.py [--data FOLDER] [--workers 0 2] [--batch 16]

Without a data set, scenes of 640x480 are rendered for it. The first epoch fills the cache and
is not timed.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

from edgeyolo.data.batches import TrainingBatches
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.data.presets import augmentation_of, family_of
from edgeyolo.data.sample_source import CacheMode, DatasetSource
from edgeyolo.scenes.folder import write_scenes

CASES = (("yolox-nano", 416), ("yolox-s", 640), ("yolov7-tiny", 640), ("yolov7-l", 640))


def pictures_per_second(
    dataset: DetectionDataset, model: str, side: int, cache: CacheMode, workers: int, batch: int
) -> float:
    """Of one whole epoch, after one that is not timed."""
    with tempfile.TemporaryDirectory() as folder:
        batches = TrainingBatches(
            DatasetSource(dataset, (side, side), cache=cache, cache_folder=Path(folder)),
            augmentation_of(model),
            family=family_of(model),
            input_hw=(side, side),
            batch_size=batch,
            seed=0,
            workers=workers,
        )
        for _ in batches.epoch(0):
            pass
        started = time.perf_counter()
        for _ in batches.epoch(1):
            pass
        return len(batches) * batch / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if data is None:
            data = Path(folder) / "scenes"
            write_scenes(data, 128, 0, (480, 640))
        dataset = read_dataset(data, split="train")
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
        print(f"{len(dataset)} pictures of {dataset.name}; pictures per second:")
        print(
            f"{'model':<12}{'size':>5}{'cache':>7}"
            + "".join(f"{f'{n} workers':>12}" for n in options.workers)
        )
        for model, side in CASES:
            for cache in CacheMode:
                rates = [
                    pictures_per_second(dataset, model, side, cache, workers, options.batch)
                    for workers in options.workers
                ]
                print(
                    f"{model:<12}{side:>5}{cache.value:>7}"
                    + "".join(f"{rate:>12.1f}" for rate in rates)
                )


if __name__ == "__main__":
    main()
