"""Do the outputs of a model file have the shapes that its contract promises?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import OutputSpec
from edgeyolo.errors import BackendError
from edgeyolo.spec import Layout, ModelSpec, OutputKind

# None: any number.
_Shape = tuple[int | None, ...]


def check_outputs(
    outputs: Sequence[NDArray[np.float32]], spec: OutputSpec, model: ModelSpec, pictures: int
) -> None:
    """Compare shapes; see :class:`edgeyolo.spec.OutputKind` for what they should be.

    Args:
        pictures: In the batch that the outputs belong to, at least.

    Raises:
        BackendError: The file gives something else than its contract says.
    """
    if spec.kind is OutputKind.SUPPRESSED:
        expected: list[_Shape] = [(None, 7)]
    elif spec.kind is OutputKind.DECODED:
        count = outputs[0].shape[1] if outputs[0].ndim > 1 else None
        expected = [(None, count, 4), (None, count, model.num_classes)]
    else:
        expected = _raw(spec.layout, model)
    for name, output, shape in zip(spec.names, outputs, expected, strict=True):
        if not _fits(output.shape, shape) or (
            spec.kind is not OutputKind.SUPPRESSED and output.shape[0] < pictures
        ):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise BackendError(
                f"output {name!r} of the model has the shape {output.shape}, its contract says "
                f"({wanted}) for {pictures} pictures; the file and its contract do not belong "
                "together, export the model again"
            )


def _raw(layout: Layout, model: ModelSpec) -> list[_Shape]:
    shapes: list[_Shape] = []
    for level, stride in enumerate(model.strides):
        cells = [side // stride for side in model.input_hw]
        anchors = 1 if model.anchors_px is None else len(model.anchors_px[level])
        for values in (4, 1, model.num_classes):
            channels = anchors * values
            shapes.append(
                (None, *cells, channels) if layout is Layout.NHWC else (None, channels, *cells)
            )
    return shapes


def _fits(found: tuple[Any, ...], wanted: _Shape) -> bool:
    return len(found) == len(wanted) and all(
        side is None or side == have for have, side in zip(found, wanted, strict=True)
    )
