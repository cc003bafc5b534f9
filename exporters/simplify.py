"""onnxsim in a process of its own, with an equality check of what it did."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeyolo.errors import one_line

_TIMEOUT_S = 600
_PROGRAM = """
import sys
import onnx, onnxsim
source, target = sys.argv[1:]
model = onnx.load(source)
shapes = {
    value.name: [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]
    for value in model.graph.input
}
model, same = onnxsim.simplify(model, check_n=1, test_input_shapes=shapes)
if not same:
    sys.exit("the simplified graph gives other results")
onnx.save(model, target)
"""


@dataclass(frozen=True, slots=True)
class SimplifyReport:
    """What simplification did.

    Attributes:
        nodes_before: Operators before.
        nodes_after: Operators after; the same where it was not applied.
        problem: Why it was not applied, or empty. The unsimplified graph is correct, only larger.
    """

    nodes_before: int
    nodes_after: int
    problem: str = ""


def simplify(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, SimplifyReport]:
    """Fold constants and drop superfluous operators.

    onnxsim compares results before and after on a random input. It is known to crash on some
    graphs (onnxsim issue 214), so it runs in a subprocess; then the graph is returned as it was
    and the report says why.
    """
    before = len(proto.graph.node)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.onnx"), Path(folder, "out.onnx")
        onnx.save(proto, source)
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, str(source), str(target)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return proto, SimplifyReport(before, before, f"onnxsim did not run: {one_line(error)}")
        if done.returncode != 0 or not target.is_file():
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            return proto, SimplifyReport(before, before, f"onnxsim failed: {one_line(last)}")
        simplified = onnx.load(target)
    return simplified, SimplifyReport(before, len(simplified.graph.node))
