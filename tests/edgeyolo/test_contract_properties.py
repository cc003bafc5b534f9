"""Any contract survives its JSON; any other JSON is refused in one line."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeyolo import contract as contracts
from edgeyolo.contract import Contract, InputSpec, OutputSpec, Provenance, Thresholds
from edgeyolo.errors import ArtifactError
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision

_names = st.text(min_size=1, max_size=12).filter(lambda name: bool(name.strip()))
_texts = st.text(max_size=12)
_sides = st.integers(1, 40).map(lambda number: 32 * number)


@st.composite
def contracts_of_any_kind(draw: st.DrawFn) -> Contract:
    family = draw(st.sampled_from(Family))
    strides = draw(st.sampled_from([(8,), (8, 16), (8, 16, 32)]))
    side = st.floats(0.1, 900, allow_nan=False)
    anchors = None
    if draw(st.booleans()):
        level = st.tuples(st.tuples(side, side), st.tuples(side, side))
        anchors = draw(st.tuples(*[level] * len(strides)))
    kind = draw(st.sampled_from(OutputKind))
    count = {OutputKind.DECODED: 2, OutputKind.RAW: 3 * len(strides), OutputKind.SUPPRESSED: 1}
    return Contract(
        model=ModelSpec(
            family=family,
            variant=draw(_names),
            class_names=tuple(draw(st.lists(_names, min_size=1, max_size=5))),
            strides=strides,
            anchors_px=anchors,
            preprocess=FAMILIES[family].preprocess((draw(_sides), draw(_sides))),
            license=draw(st.none() | _texts),
        ),
        backend=draw(st.sampled_from(Backend)),
        precision=draw(st.sampled_from(Precision)),
        input=InputSpec(
            name=draw(_texts),
            layout=draw(st.sampled_from(Layout)),
            dtype=draw(st.sampled_from(["uint8", "float32"])),
            preprocessed_in_graph=draw(st.booleans()),
            batch=draw(st.none() | st.integers(1, 64)),
        ),
        output=OutputSpec(kind=kind, names=tuple(draw(_texts) for _ in range(count[kind]))),
        entry="model",
        provenance=Provenance(
            source_name=draw(_texts), source_sha256=draw(_texts), created="", tools={}
        ),
        thresholds=Thresholds(
            min_score=draw(st.floats(0, 1)),
            iou_threshold=draw(st.floats(0, 1)),
            max_detections=draw(st.integers(1, 10**6)),
        ),
    )


_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(contract=contracts_of_any_kind())
def test_any_contract_comes_back_from_its_json(contract: Contract) -> None:
    for indent in (False, True):
        text = contracts.encode(contract, indent=indent)
        assert contracts.decode(text, origin="text") == contract


@settings(deadline=None, max_examples=150)
@given(document=_json, with_schema=st.booleans())
def test_any_other_json_is_refused_in_one_line(document: Any, with_schema: bool) -> None:
    if with_schema and isinstance(document, dict):
        document = {**document, "schema": contracts.SCHEMA}
    _refused(json.dumps(document))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(contract=contracts_of_any_kind(), value=_json, choice=st.integers(0, 10**6))
def test_a_contract_with_any_field_replaced_is_read_or_refused_in_one_line(
    contract: Contract, value: Any, choice: int
) -> None:
    document = msgspec.to_builtins(contract)
    places = list(_places(document))
    parent, key = places[choice % len(places)]
    parent[key] = value
    try:
        read = contracts.decode(json.dumps(document), origin="text")
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most values are refused
        return
    assert 0 <= read.thresholds.min_score <= 1
    assert read.model.num_classes >= 1


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _refused(text: str) -> None:
    try:
        contracts.decode(text, origin="text")
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - raised for every example
    else:
        raise AssertionError(f"read as a contract: {text}")
