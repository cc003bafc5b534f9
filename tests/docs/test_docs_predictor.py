"""docs/predictor.md leaves out nothing that a program may use."""

from __future__ import annotations

import dataclasses
import inspect
import re

import edgeyolo
from edgeyolo.detections import Detection, Detections
from edgeyolo.predictor import Predictor, load
from edgeyolo.stream import StageTimes, StreamResult
from tests.conftest import ROOT
from tests.docs.fences import without_blocks

PAGE = without_blocks(ROOT / "docs" / "predictor.md")
WORDS = {word for span in re.findall(r"`([^`]+)`", PAGE) for word in re.findall(r"\w+", span)}


def test_every_exported_name_is_there() -> None:
    assert set(edgeyolo.__all__) <= WORDS


def test_every_public_method_and_attribute_of_the_predictor_is_there() -> None:
    members = {name for name in vars(Predictor) if not name.startswith("_")} - {"close"}
    source = inspect.getsource(Predictor.__init__)
    attributes = set(re.findall(r"self\.([a-z]\w*) =", source))
    assert members | attributes <= WORDS
    assert "closing" in PAGE.lower()


def test_every_field_of_results_is_there() -> None:
    for record in (Detections, StreamResult):
        assert {field.name for field in dataclasses.fields(record)} <= WORDS, record
    for fields in (Detection, StageTimes):
        assert set(fields._fields) <= WORDS, fields


def test_signatures_are_those_of_the_code() -> None:
    for function in (load, Predictor.predict, Predictor.stream):
        shown = re.search(rf"`{function.__name__}\(([^`]+)\) -> \w+`", PAGE)
        assert shown is not None, function.__name__
        names = re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", shown[1].replace("*, ", ""))
        parameters = [name for name in inspect.signature(function).parameters if name != "self"]
        assert names == parameters
