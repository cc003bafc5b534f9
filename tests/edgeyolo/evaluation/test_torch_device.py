"""A device word means the same for a checkpoint as for an artifact."""

from __future__ import annotations

import pytest
import torch

from edgeyolo.errors import BackendError, TrainingError
from edgeyolo.evaluation.torch_session import torch_device
from edgeyolo.training.session import chosen_device


def test_auto_and_cpu_are_the_cpu() -> None:
    assert {torch_device(word).type for word in ("auto", "cpu", "CPU")} == {"cpu"}


@pytest.mark.parametrize("word", ["fast", "cuda:x", "cuda:99999999999", "cuda:63", "meta", "hpu"])
def test_a_device_that_is_not_there_is_one_line(word: str) -> None:
    with pytest.raises(BackendError, match=f"PyTorch has no device '{word}' here") as caught:
        torch_device(word)
    assert "it has: cpu" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match=f"no device '{word}'"):
        chosen_device(word)


@pytest.mark.parametrize(("word", "meant"), [("gpu", "cuda"), ("gpu:0", "cuda:0")])
def test_gpu_is_cuda(word: str, meant: str) -> None:
    if torch.cuda.is_available():
        assert torch_device(word) == torch.device(meant)
    else:
        with pytest.raises(BackendError, match=f"PyTorch has no device '{word}' here"):
            torch_device(word)
