"""Our YOLOX against numbers from running the official repository on synthetic weights.

Made from YOLOX 6ddff4824372906469a7fae2dc3206c7aa4bbaee; see ``reference/README.md`` in the
shared folder, which also gives the tolerances: the official code itself moves by 1e-4 between
float32 and float64, and other CPU kernels belong to the same class of change.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeyolo.models.deploy import MAX_DEVIATION, deploy
from edgeyolo.models.detector import Detector
from edgeyolo.models.flops import count_parameters
from edgeyolo.models.zoo import build

VARIANTS = ("nano", "tiny", "s", "m", "l", "x")

# Drawing the weights of the large networks alone takes many seconds.
FAST = [("nano", "full"), ("nano", "rect"), ("nano", "main"), ("s", "full"), ("m", "full")]
SLOW = [
    (variant, case)
    for variant in VARIANTS
    for case in ("full", "rect", "main")
    if (variant, case) not in FAST
]
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


def record(shared: Path, kind: str, variant: str) -> Any:
    path = shared / "reference" / kind / f"yolox_{variant}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


@pytest.fixture(scope="session")
def synth(shared: Path) -> ModuleType:
    """The reference's own module of deterministic weights and pictures."""
    location = importlib.util.spec_from_file_location(
        "synth_weights", shared / "reference" / "synth_weights.py"
    )
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


# Drawing the weights takes longer than most passes; cases of one network follow each other.
@lru_cache(maxsize=1)
def synthetic(shared: Path, synth: ModuleType, variant: str) -> Detector:
    """A variant in eval mode with the reference's weights."""
    torch.set_num_threads(1)
    model = build(f"yolox-{variant}").eval()
    log2_variance = record(shared, "models", variant)["bn_log2var"]
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            value = synth.synth_tensor(key, tensor.shape, str(tensor.dtype), log2_variance)
            tensor.copy_(torch.from_numpy(value))
    return model


def deviation(ours: Tensor, stored: Any, name: str, synth: ModuleType) -> float:
    """Largest |a-b| / (1 + |b|) over the entries that the reference stores."""
    values = ours.numpy()
    if name in stored:
        expected = stored[name]
        assert values.shape == expected.shape
    else:
        expected = stored[f"{name}@sample"]
        values = values.ravel()[synth.sample_index(values.size, 4096)]
    return float((np.abs(values - expected) / (1 + np.abs(expected))).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_dict_and_parameters_equal_the_official_ones(shared: Path, variant: str) -> None:
    expected = record(shared, "models", variant)
    with torch.device("meta"):
        model = build(f"yolox-{variant}")
    ours = [
        [key, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for key, tensor in model.state_dict().items()
    ]
    assert ours == [[k, s, d.removeprefix("torch.")] for k, s, d in expected["state_dict"]]
    assert count_parameters(model) == expected["params"]


@pytest.mark.parametrize(("variant", "case"), CASES)
def test_logits_and_decoded_boxes_equal_the_official_ones_in_both_forms(
    shared: Path, synth: ModuleType, variant: str, case: str
) -> None:
    model = synthetic(shared, synth, variant)
    deployed, _ = deploy(model)
    expected = record(shared, "forward", variant)["cases"][case]
    stored = np.load(shared / "reference" / "forward" / f"yolox_{variant}.npz")
    batch, _, height, width = expected["input"]
    pixels = torch.from_numpy(synth.synth_input(batch, height, width, expected["seed"], "yolox"))

    for network, tolerance in ((model, 2e-4), (deployed, MAX_DEVIATION)):
        with torch.no_grad():
            raw = network(pixels)
            decoded = network.decode(raw)
        outputs = {f"raw{i}": level for i, level in enumerate(raw)} | {"decoded": decoded}
        assert outputs.keys() == expected["tensors"].keys()
        for name, ours in outputs.items():
            assert list(ours.shape) == expected["tensors"][name]["shape"]
            assert deviation(ours, stored, f"{case}/{name}", synth) <= tolerance, name
