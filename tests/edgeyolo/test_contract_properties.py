"""Whatever stands in artifact.json: a contract comes back unchanged, or one error says why not."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgeyolo import contract as contracts
from edgeyolo.contract import (
    CalibrationRecord,
    Contract,
    InputSpec,
    LatencyRecord,
    Measured,
    OutputSpec,
    ParityRecord,
    Provenance,
    Thresholds,
)
from edgeyolo.errors import ArtifactError
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision

WORDS = st.text(min_size=1, max_size=12).filter(str.strip)
UNIT = st.floats(0, 1)
POSITIVE = st.floats(1e-3, 1e3)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@st.composite
def contract_values(draw: st.DrawFn) -> Contract:
    family = draw(st.sampled_from(list(Family)))
    sides = st.integers(1, 20).map(lambda units: 32 * units)
    anchors = None
    if family is Family.YOLOV7:
        anchors = tuple(tuple((draw(POSITIVE), draw(POSITIVE)) for _ in range(3)) for _ in range(3))
    spec = ModelSpec(
        family=family,
        variant=draw(st.sampled_from(["nano", "tiny", "l", "custom"])),
        class_names=tuple(draw(st.lists(WORDS, min_size=1, max_size=6, unique=True))),
        strides=(8, 16, 32),
        anchors_px=anchors,
        preprocess=FAMILIES[family].preprocess((draw(sides), draw(sides))),
        license=draw(st.none() | WORDS),
    )
    parity = ParityRecord(
        passed=draw(st.booleans()),
        images=draw(st.integers(1, 99)),
        image_source=draw(WORDS),
        reference=draw(st.integers(0, 99)),
        matched=draw(st.integers(0, 99)),
        extra=draw(st.integers(0, 99)),
        max_box_error_px=draw(POSITIVE),
        max_score_error=draw(UNIT),
        mean_iou=draw(UNIT),
        max_raw_error=draw(st.none() | POSITIVE),
        note=draw(st.text(max_size=20)),
    )
    latency = LatencyRecord(
        network_ms=draw(POSITIVE), batch=1, device=draw(WORDS), threads=draw(st.none() | st.just(2))
    )
    return Contract(
        model=spec,
        backend=draw(st.sampled_from([Backend.ONNX, Backend.OPENVINO, Backend.TFLITE])),
        precision=draw(st.sampled_from(list(Precision))),
        input=InputSpec(
            name=draw(WORDS),
            layout=Layout.NHWC,
            dtype="uint8",
            preprocessed_in_graph=True,
            batch=draw(st.none() | st.integers(1, 8)),
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        entry="model.onnx",
        provenance=Provenance(
            source_name=draw(WORDS),
            source_sha256="0" * 64,
            created="2026-01-01T00:00:00Z",
            tools=draw(st.dictionaries(WORDS, WORDS, max_size=3)),
        ),
        thresholds=Thresholds(
            min_score=draw(UNIT), iou_threshold=draw(UNIT), max_detections=draw(st.integers(1, 999))
        ),
        calibration=draw(
            st.none()
            | st.builds(
                CalibrationRecord, algorithm=WORDS, images=st.integers(1, 999), digest=WORDS
            )
        ),
        measured=Measured(
            parity=draw(st.none() | st.just(parity)), latency=draw(st.none() | st.just(latency))
        ),
    )


@given(contract=contract_values(), indent=st.booleans())
def test_every_contract_survives_json_exactly(contract: Contract, indent: bool) -> None:
    assert contracts.decode(contracts.encode(contract, indent=indent), origin="text") == contract


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of every value inside a JSON document."""
    found = [path] if path else []
    if isinstance(value, dict):
        members = list(value.items())
    else:
        members = list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in members:
        found += places(inner, (*path, key))
    return found


@given(contract=contract_values(), data=st.data())
def test_a_contract_with_any_value_replaced_is_sound_or_refused(
    contract: Contract, data: st.DataObject
) -> None:
    document = json.loads(contracts.encode(contract))
    path = data.draw(st.sampled_from(places(document)))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[path[-1]] = data.draw(JSON_VALUES)
    else:
        del parent[path[-1]]
    found = decoded(json.dumps(document))
    if found is None:
        return
    # What is accepted keeps the invariants that the runtimes rely on.
    height, width = found.model.input_hw
    assert height > 0
    assert width > 0
    assert found.model.num_classes >= 1
    assert 0 <= found.thresholds.min_score <= 1
    assert found.thresholds.max_detections >= 1
    assert all(
        math.isfinite(side) for side in (*found.model.preprocess.mean, found.model.preprocess.scale)
    )
    assert contracts.decode(contracts.encode(found), origin="text") == found


@given(content=st.binary(max_size=60) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_anything_that_is_no_contract_is_refused(content: bytes) -> None:
    assert decoded(content) is None


def decoded(content: str | bytes) -> Contract | None:
    """The contract, or nothing where it is refused in one line that names the file."""
    refusal = ""
    try:
        return contracts.decode(content, origin="text")
    except ArtifactError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert refusal.startswith("text: ")
    return None
