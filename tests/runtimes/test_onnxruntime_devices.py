"""ONNX Runtime computes on the device that was named, or says that it does not."""

from __future__ import annotations

import onnxruntime
import pytest

from edgeyolo.errors import BackendError, UnsupportedError
from edgeyolo.runtimes.onnxruntime_adapter import Provider, check_provider, provider_for


def test_the_cpu_is_always_there() -> None:
    assert provider_for("cpu") == Provider("CPUExecutionProvider", {})


@pytest.mark.parametrize("device", ["tpu", "cpu:1", "cpu:", "cpu:x"])
def test_devices_that_are_not_there_are_refused(device: str) -> None:
    with pytest.raises(UnsupportedError, match=repr(device)):
        provider_for(device)


def test_the_number_of_a_gpu_reaches_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only builds for GPUs have this provider; what is asked of it needs none.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert provider_for("cuda:1") == Provider("CUDAExecutionProvider", {"device_id": "1"})
    assert provider_for("gpu") == Provider("CUDAExecutionProvider", {})


def test_a_session_that_fell_back_to_the_cpu_is_refused() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    check_provider([cuda, cpu], cuda, "gpu")
    with pytest.raises(BackendError, match=r"could not start CUDAExecutionProvider.*'gpu'"):
        check_provider([cpu], cuda, "gpu")
