"""The support matrix of the README is what the exporters really do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_readme_shows_what_the_tool_prints() -> None:
    done = subprocess.run(
        [sys.executable, "tools/support_matrix.py"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 9
    assert done.stdout in (ROOT / "README.md").read_text(encoding="utf-8")
