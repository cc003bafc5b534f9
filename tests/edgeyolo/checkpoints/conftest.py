"""Reference data of the checkpoint tests."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeyolo.checkpoints.load import LoadedModel


@pytest.fixture(scope="session")
def synth(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "synth_weights", shared / "reference" / "synth_weights.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint_facts(shared: Path) -> Callable[[str], dict[str, Any]]:
    """What is known about the miniature checkpoints of a family."""

    def read(family: str) -> dict[str, Any]:
        path = shared / "reference/checkpoint" / f"{family}.json.gz"
        loaded: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        return loaded

    return read


@pytest.fixture
def decoded(synth: ModuleType) -> Callable[[LoadedModel, dict[str, Any]], NDArray[np.float32]]:
    """The decoded output for the synthetic input that a fact names."""

    def run(loaded: LoadedModel, fact: dict[str, Any]) -> NDArray[np.float32]:
        batch, _, height, width = fact["input"]
        family = str(loaded.spec.family)
        x = torch.from_numpy(synth.synth_input(batch, height, width, fact["seed"], family))
        with torch.inference_mode():
            result: NDArray[np.float32] = loaded.model.decode(loaded.model(x)).numpy()
        return result

    return run
