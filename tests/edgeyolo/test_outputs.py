"""A model file that gives other shapes than its contract says is refused by the output's name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeyolo.contract import OutputSpec
from edgeyolo.errors import BackendError
from edgeyolo.outputs import check_outputs
from edgeyolo.spec import Layout, OutputKind
from tests.hardening.model_seeds import SPEC

DECODED = OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores"))
RAW = OutputSpec(kind=OutputKind.RAW, names=("box", "objectness", "class"), layout=Layout.NCHW)
SUPPRESSED = OutputSpec(kind=OutputKind.SUPPRESSED, names=("detections",))
GOOD = [
    (DECODED, [(2, 6, 4), (2, 6, 2)]),
    (RAW, [(2, 4, 2, 3), (2, 1, 2, 3), (2, 2, 2, 3)]),
    (dataclasses.replace(RAW, layout=Layout.NHWC), [(2, 2, 3, 4), (2, 2, 3, 1), (2, 2, 3, 2)]),
    (SUPPRESSED, [(0, 7)]),
]


@pytest.mark.parametrize(("spec", "shapes"), GOOD)
def test_promised_shapes_pass(spec: OutputSpec, shapes: list[tuple[int, ...]]) -> None:
    check_outputs([np.zeros(shape, np.float32) for shape in shapes], spec, SPEC, pictures=2)


@pytest.mark.parametrize(("spec", "shapes"), GOOD)
def test_every_other_shape_is_refused_by_name(
    spec: OutputSpec, shapes: list[tuple[int, ...]]
) -> None:
    for place, name in enumerate(spec.names):
        for wrong in (shapes[place][:-1], (*shapes[place][:-1], 9), (*shapes[place], 1), ()):
            changed = [*shapes[:place], wrong, *shapes[place + 1 :]]
            outputs = [np.zeros(shape, np.float32) for shape in changed]
            # Boxes of another number make the scores wrong, which are named then.
            with pytest.raises(BackendError, match=f"output '({name}|scores)' of the model"):
                check_outputs(outputs, spec, SPEC, pictures=2)


def test_too_few_pictures_are_refused() -> None:
    outputs = [np.zeros((1, 6, 4), np.float32), np.zeros((1, 6, 2), np.float32)]
    with pytest.raises(BackendError, match="for 2 pictures"):
        check_outputs(outputs, DECODED, SPEC, pictures=2)
