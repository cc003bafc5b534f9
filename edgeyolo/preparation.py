"""From frames to the network's input tensor, in buffers that are made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import InputSpec
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer, Placement, normalize
from edgeyolo.spec import Layout, Preprocess


class Preparer:
    """Fills one input tensor again and again. Used from one thread at a time.

    Args:
        preprocess: How frames enter the model.
        input: The tensor that its file wants.
        least: Fewest pictures that a file of any batch takes.
    """

    def __init__(self, preprocess: Preprocess, input: InputSpec, least: int = 1) -> None:
        self._preprocess = preprocess
        self._input = input
        self._least = least
        # One for each place in the batch: a stream of equal frames is padded once.
        self._letterboxers: list[Letterboxer] = []
        self._canvas: NDArray[np.uint8] = np.empty((0, *preprocess.input_hw, 3), np.uint8)
        self._tensor: NDArray[Any] = self._canvas

    def prepare(self, frames_bgr: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], list[Placement]]:
        """Letterbox frames into the tensor; too small a batch is filled up with grey pictures.

        Returns:
            The tensor, which the next call overwrites, and where each frame lies on it.

        Raises:
            ValueError: A frame is no picture (see :func:`edgeyolo.frames.as_bgr`), or there are
                more than the batch holds.
        """
        size = self._input.batch or max(len(frames_bgr), self._least)
        if len(frames_bgr) > size:
            raise ValueError(f"{len(frames_bgr)} frames do not fit into a batch of {size}")
        if size != len(self._canvas):
            self._allocate(size)
        placements = [
            letterboxer.place(as_bgr(frame))
            for letterboxer, frame in zip(self._letterboxers, frames_bgr, strict=False)
        ]
        for place in range(len(frames_bgr), size):
            self._letterboxers[place].clear()
        if not self._input.preprocessed_in_graph:
            layout = self._input.layout
            normalize(self._canvas, self._preprocess, layout, out=self._tensor)
        elif self._tensor is not self._canvas:
            nchw = self._input.layout is Layout.NCHW
            source = self._canvas.transpose(0, 3, 1, 2) if nchw else self._canvas
            np.copyto(self._tensor, source, casting="unsafe")
        return self._tensor, placements

    def _allocate(self, size: int) -> None:
        height, width = self._preprocess.input_hw
        self._canvas = np.empty((size, height, width, 3), np.uint8)
        self._letterboxers = [Letterboxer(self._preprocess, canvas) for canvas in self._canvas]
        as_it_is = self._input.layout is Layout.NHWC and self._input.dtype == "uint8"
        if as_it_is and self._input.preprocessed_in_graph:
            self._tensor = self._canvas
        else:
            nchw = self._input.layout is Layout.NCHW
            shape = (size, 3, height, width) if nchw else (size, height, width, 3)
            self._tensor = np.empty(shape, self._input.dtype)
