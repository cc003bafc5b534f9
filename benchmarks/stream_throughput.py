"""What the application gets of the network's speed.

    python benchmarks/stream_throughput.py ARTIFACT... [--threads 2] [--seconds 5] [--rounds 5]

For every artifact, in turns: the bare network (the vendor's synchronous call on a tensor that
stays where it is), ``predict`` in a loop, and ``stream``, all on 1280x720 frames from memory.
Frames per second are medians over the rounds; the ratio is the median of the ratios within each
round, so a machine that changes its clock meanwhile does no harm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeyolo
from edgeyolo.benchmark.resident import ResidentFrames


def per_second(call: Callable[[], object], seconds: float) -> float:
    started_s = time.perf_counter()
    count = 0
    while (elapsed_s := time.perf_counter() - started_s) < seconds:
        call()
        count += 1
    return count / elapsed_s


def streamed_per_second(
    predictor: edgeyolo.Predictor, frames: list[NDArray[np.uint8]], seconds: float
) -> float:
    with predictor.stream(ResidentFrames(frames, seconds)) as stream:
        next(stream)
        started_s = ended_s = time.perf_counter()
        count = 0
        for _ in stream:
            ended_s = time.perf_counter()
            count += 1
    return count / (ended_s - started_s)


def compare(
    path: Path, frames: list[NDArray[np.uint8]], threads: int, seconds: float, rounds: int
) -> None:
    bare, synchronous, streamed = [], [], []
    with edgeyolo.load(path, threads=threads) as predictor:
        tensor = predictor.prepare([frames[0]])[0].copy()
        predictor.predict(frames[0])
        for _ in range(rounds):
            bare.append(per_second(lambda: predictor.session.run(tensor), seconds))
            synchronous.append(per_second(lambda: predictor.predict(frames[0]), seconds))
            streamed.append(streamed_per_second(predictor, frames, seconds))
    ratio = np.median(np.array(streamed) / np.array(bare))
    print(
        f"{path.name:<32}{np.median(bare):>9.1f}{np.median(synchronous):>11.1f}"
        f"{np.median(streamed):>10.1f}{ratio:>13.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 255, (9, 16, 3), dtype=np.uint8) for _ in range(8)]
    frames = [np.kron(picture, np.ones((80, 80, 1), np.uint8)) for picture in coarse]
    print(f"{'artifact':<32}{'bare/s':>9}{'predict/s':>11}{'stream/s':>10}{'stream/bare':>13}")
    for path in arguments.artifacts:
        compare(path, frames, arguments.threads, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
