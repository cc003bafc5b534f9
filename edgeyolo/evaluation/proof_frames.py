"""Pictures that a model file is proven on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.scenes import render_scene

# Enough to meet every head level; export stays under its 15 s.
PROOF_PICTURES = 8


def proof_frames(
    images: Path | None, input_hw: tuple[int, int]
) -> tuple[list[NDArray[np.uint8]], str]:
    """Pictures to check a model file on, and what to call them.

    Up to 8 pictures spread evenly over the folder, or as many rendered scenes of about the
    network's size, neither square nor aligned.
    """
    if images is None:
        height, width = input_hw
        hw = (height * 9 // 10 + 7, width * 11 // 10 + 5)
        frames = [render_scene(seed, hw).frame_bgr for seed in range(PROOF_PICTURES)]
        return frames, "rendered scenes"
    found = list_pictures(images)
    count = min(len(found), PROOF_PICTURES)
    chosen = [found[number * len(found) // count] for number in range(count)]
    return [read_picture(path) for path in chosen], images.name
