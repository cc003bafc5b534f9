"""A file on which a vendor's library crashes ends in one line, not with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeyolo.contract import encode
from edgeyolo.errors import BackendError
from edgeyolo.exporters.onnx_exporter import embed_contract
from edgeyolo.predictor import load
from edgeyolo.runtimes import probe as probes
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Backend
from tests.doubles.tiny_detector import tiny_detector
from tests.hardening import model_seeds

pytest.importorskip("onnxruntime")


@pytest.fixture
def lone(tmp_path: Path) -> Path:
    path = tmp_path / "lone ü.onnx"
    path.write_bytes(model_seeds.onnx_files()[0])
    return path


def test_a_lone_file_is_tried_in_another_process(
    lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[Any] = []
    run = subprocess.run

    def counted(*arguments: Any, **options: Any) -> Any:
        children.append(arguments)
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    with load(lone, threads=1) as predictor:
        assert len(predictor.predict(np.full((32, 32, 3), 90, np.uint8))) >= 0
    assert len(children) == 1
    load(lone, threads=1, probe=False).close()
    assert len(children) == 1


def test_a_crash_in_the_other_process_is_one_line(
    lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(probes, "_PROGRAM", crashing)
    with pytest.raises(BackendError, match=r"lone ü\.onnx: onnx crashed on the file \(SIGSEGV\)"):
        load(lone, threads=1)


def test_a_file_that_does_not_open_in_time_is_one_line(
    lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(probes, "_TIMEOUT_S", 0.2)
    with pytest.raises(BackendError, match=r"within 0\.2 s"):
        load(lone, threads=1)


def test_what_the_other_process_refuses_is_refused_here(lone: Path) -> None:
    proto = onnx.load(lone)
    proto.graph.node[2].op_type = "NoSuchOperator"
    onnx.save(proto, lone)
    with pytest.raises(BackendError, match=r"ONNX Runtime cannot open .*lone ü\.onnx"):
        load(lone, threads=1)


def test_a_file_that_asks_for_all_memory_is_refused(lone: Path) -> None:
    """A constant of 4 EiB, which no machine has."""
    proto = tiny_detector()
    sides = helper.make_tensor("sides", TensorProto.INT64, [1], [2**60])
    proto.graph.initializer.append(sides)
    proto.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sides"], ["huge"], "huge"))
    proto.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["all"], "sum"))
    proto.graph.output.append(helper.make_tensor_value_info("all", TensorProto.FLOAT, [1]))
    embed_contract(proto, encode(model_seeds.contract(Backend.ONNX, "model.onnx")))
    onnx.save(proto, lone)
    with pytest.raises(BackendError):
        load(lone, threads=1)


def test_the_working_directory_is_not_searched_for_modules(
    lone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong module')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    contract = model_seeds.contract(Backend.ONNX, "model.onnx")
    probes.probe(lone, contract, SessionOptions(threads=1))
