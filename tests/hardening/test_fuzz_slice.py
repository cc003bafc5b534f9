"""A short slice of the fuzz harness; ``python -m tests.hardening.fuzz`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hardening.fuzz import FAULTS, READERS, fuzz

pytest.importorskip("torch")
# Those that start a vendor's library for half of their inputs take longer for each.
INPUTS = {"onnx": 30, "openvino": 20, "tflite": 40, "checkpoint-zip": 40, "checkpoint-pickle": 60}
NEEDS = {"onnx": "onnxruntime", "openvino": "openvino", "tflite": "ai_edge_litert"}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_in_one_line(reader: str, tmp_path: Path) -> None:
    if reader in NEEDS:
        pytest.importorskip(NEEDS[reader])
    inputs = INPUTS.get(reader, 150)
    tally = fuzz(reader, seed=7, seconds=900.0, inputs=inputs, keep=tmp_path)
    assert tally.faults == []
    assert not any(tally.outcomes[name] for name in FAULTS)
    assert tally.outcomes["read"] + tally.outcomes["refused"] == inputs
    # A single bad label of these is a problem in the report, not a refusal.
    assert tally.outcomes["refused"] > 0 or reader in ("yolo-txt", "voc-xml")


def test_the_harness_counts_what_it_looks_for(tmp_path: Path) -> None:
    """A reader that crashes, raises and hangs on purpose: all are counted, none is fatal."""
    tally = fuzz(
        "self-test",
        seed=1,
        seconds=600.0,
        inputs=8,
        patience_s=0.2,
        silence_s=4.0,
        keep=tmp_path,
    )
    assert tally.outcomes == {"crash": 2, "traceback": 2, "hang": 2, "read": 1, "refused": 1}
    assert len(tally.faults) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"self-test-1-{number}" for number in range(6)
    ]
