"""Whether memory stays where it is while frames go through.

    python benchmarks/memory_flatness.py ARTIFACT [--frames 20000] [--threads 1]

Prints the largest allocation of one ``predict`` after warming up (numpy reports its buffers to
tracemalloc) and the resident memory of the process along the way.
"""

from __future__ import annotations

import argparse
import gc
import tracemalloc
from pathlib import Path

import numpy as np

import edgeyolo


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (720, 1280, 3), dtype=np.uint8) for _ in range(4)]
    with edgeyolo.load(arguments.artifact, threads=arguments.threads) as predictor:
        for frame in frames * 5:
            predictor.predict(frame)
        gc.collect()
        tracemalloc.start()
        largest = 0
        for frame in frames * 3:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            predictor.predict(frame)
            largest = max(largest, tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
        height, width = predictor.model.input_hw
        print(
            f"peak of one predict: {largest / 1024:.0f} KiB "
            f"(frame {720 * 1280 * 3 / 1024:.0f} KiB, "
            f"network input {height * width * 3 / 1024:.0f} KiB)"
        )
        settled = None
        step = max(1, arguments.frames // 20)
        for number in range(1, arguments.frames + 1):
            predictor.predict(frames[number % len(frames)])
            if number % step == 0:
                now = resident_mib()
                settled = now if settled is None else settled
                print(f"{number:>7} frames  {now:9.2f} MiB resident  {now - settled:+.2f}")


if __name__ == "__main__":
    main()
