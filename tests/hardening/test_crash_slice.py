"""A short slice of the crash harness; ``python -m tests.hardening.crashes`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hardening.crashes import WRITERS, kill_command, kill_download, kill_writer
from tests.hardening.inputs import Inputs

pytest.importorskip("torch")


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_killed_writer_leaves_is_complete_or_absent(name: str) -> None:
    tally = kill_writer(name, moments=3, seed=3)
    assert tally.half == 0
    assert tally.moments == tally.complete + tally.absent == 3
    # Each writer had finished one before it was killed; only a swap of folders hides it.
    assert tally.complete > 0
    assert tally.rerun == "works"


def test_what_a_killed_download_leaves_is_complete_or_absent() -> None:
    tally = kill_download(moments=4, seed=3)
    assert tally.half == 0
    assert tally.absent > 0
    assert tally.rerun == "works"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["export-int8"])
def test_a_killed_command_leaves_nothing_half_written(inputs: Inputs, name: str) -> None:
    tally = kill_command(name, inputs, moments=2, seed=3)
    assert tally.half == 0
    assert tally.rerun == "works"


def test_the_harness_tells_a_mixture_from_a_whole(tmp_path: Path) -> None:
    """The judge of the artifacts sees files of two writings under one name."""
    import hashlib
    import json

    from edgeyolo.contract import seal_document
    from tests.hardening import crash_writers
    from tests.hardening.crashes import Found, found_artifact

    writer = crash_writers.artifacts(tmp_path)
    next(writer)
    assert found_artifact(tmp_path) is Found.COMPLETE
    content = crash_writers.content(99)
    (tmp_path / "artifact/a/part").write_bytes(content)
    assert found_artifact(tmp_path) is Found.HALF
    document = json.loads((tmp_path / "artifact/artifact.json").read_text())
    document["files"]["a/part"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "artifact/artifact.json").write_text(seal_document(document))
    assert found_artifact(tmp_path) is Found.HALF
