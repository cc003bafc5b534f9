"""A stale calibration result cannot be picked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from edgeyolo.calibration import cache as cache_module
from edgeyolo.calibration.cache import CacheKey, CalibrationCache
from edgeyolo.calibration.quantize import digest_of_graph
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family

FILES = {"model.onnx": b"weights", "other": b""}
KEY = CacheKey(
    backend=Backend.ONNX,
    graph_sha256="a" * 64,
    pictures_sha256="b" * 64,
    preprocess=FAMILIES[Family.YOLOX].preprocess((416, 416)),
    settings=Int8Settings(),
)


def test_a_stored_result_comes_back(tmp_path: Path) -> None:
    cache = CalibrationCache(tmp_path)
    assert cache.get(KEY) is None
    cache.put(KEY, FILES)
    assert cache.get(KEY) == FILES


@pytest.mark.parametrize(
    "change",
    [
        lambda key: replace(key, backend=Backend.OPENVINO),
        lambda key: replace(key, graph_sha256="c" * 64),
        lambda key: replace(key, pictures_sha256="c" * 64),
        lambda key: replace(key, preprocess=replace(key.preprocess, pad_value=115)),
        lambda key: replace(key, preprocess=replace(key.preprocess, scale=1 / 255)),
        lambda key: replace(key, settings=Int8Settings(estimator=RangeEstimator.MSE)),
        lambda key: replace(key, settings=Int8Settings(float_layers=frozenset({"stem"}))),
        lambda key: replace(key, variant="full-integer"),
    ],
)
def test_any_change_of_what_it_came_from_is_a_miss(
    tmp_path: Path, change: Callable[[CacheKey], CacheKey]
) -> None:
    cache = CalibrationCache(tmp_path)
    cache.put(KEY, FILES)
    assert cache.get(change(KEY)) is None
    assert cache.get(KEY) == FILES


def test_another_version_of_a_tool_or_of_our_code_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CalibrationCache(tmp_path)
    cache.put(KEY, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_version", lambda package: "99.0")
        assert cache.get(KEY) is None
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "code_digest", lambda: "changed")
        assert cache.get(KEY) is None
    assert cache.get(KEY) == FILES


def test_a_damaged_entry_is_a_miss(tmp_path: Path) -> None:
    cache = CalibrationCache(tmp_path)
    cache.put(KEY, FILES)
    (stored,) = tmp_path.glob("*/model.onnx")
    stored.write_bytes(b"weightz")
    assert cache.get(KEY) is None
    stored.unlink()
    assert cache.get(KEY) is None
    cache.put(KEY, FILES)
    assert cache.get(KEY) == FILES


def test_one_weight_changes_the_digest_of_a_graph(tiny_detector: onnx.ModelProto) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(tiny_detector)
    assert digest_of_graph(other) == digest_of_graph(tiny_detector)
    tensor = next(item for item in other.graph.initializer if item.name == "merged.weight")
    values = numpy_helper.to_array(tensor).copy()
    values.flat[7] += 1e-6
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert digest_of_graph(other) != digest_of_graph(tiny_detector)
