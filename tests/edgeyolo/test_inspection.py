"""Inspecting says what a file is, and what to look at where it is only a part."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeyolo.cli.inspect_command import _short
from edgeyolo.cli.main import group
from edgeyolo.errors import CheckpointError
from edgeyolo.inspection import inspect
from edgeyolo.spec import check_input_hw


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"\xff\xd8\xff\xe0 a picture", "does not begin as engines of TensorRT")],
)
def test_not_everything_called_engine_is_one(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "model.engine"
    file.write_bytes(content)
    found = inspect(file)
    assert (found.kind, found.sound) == ("engine", False)
    assert words in found.findings[0]
    file.write_bytes(b"ptrt" + bytes(100))
    assert inspect(file).sound


def test_parts_of_an_artifact_name_the_whole(quadrant_artifact: Path, tmp_path: Path) -> None:
    (finding,) = inspect(quadrant_artifact / "artifact.json").findings
    assert finding.endswith(f"inspect {quadrant_artifact}")
    weights = tmp_path / "model.bin"
    weights.write_bytes(bytes(8))
    assert "not a file that edgeyolo knows" in inspect(weights).findings[0]
    (tmp_path / "model.xml").write_text("<net/>")
    (finding,) = inspect(weights).findings
    assert finding.endswith(f"inspect {tmp_path / 'model.xml'}")


def test_a_pickle_out_of_its_file_says_what_to_give(tmp_path: Path) -> None:
    # A dict with one persistent reference, as torch writes for a tensor's storage.
    (tmp_path / "data.pkl").write_bytes(b"\x80\x02}q\x00X\x01\x00\x00\x00aX\x01\x00\x00\x00bQs.")
    (finding,) = inspect(tmp_path / "data.pkl").findings
    assert "the data.pkl out of a .pt or .pth file" in finding
    assert "give the whole file" in finding


def test_the_table_keeps_names_and_values_apart(quadrant_artifact: Path) -> None:
    result = CliRunner().invoke(group, ["inspect", str(quadrant_artifact)])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines()[1:] if not line.startswith("  !")]
    starts = {len(row) - len(row[2:].partition(" ")[2].lstrip()) for row in rows}
    assert len(starts) == 1, rows
    assert not any(letter in result.stdout for letter in "{}[]")


def test_values_are_shown_without_python_around_them() -> None:
    nested = [{"name": "boxes", "shape": [1, 4], "scale": None}, {"name": "scores"}]
    assert _short(nested) == "(name boxes, shape (1, 4)), (name scores)"
    assert _short({"passed": True, "error": 1 / 3}) == "passed yes, error 0.3333"


@pytest.mark.parametrize(
    ("hw", "multiple", "nearest"),
    [((416, 416), 64, "448x448"), ((400, 10), 32, "416x32"), ((9000, 640), 32, "8192x640")],
)
def test_a_size_that_does_not_fit_names_the_nearest(
    hw: tuple[int, int], multiple: int, nearest: str
) -> None:
    with pytest.raises(ValueError, match=f"multiples of {multiple} .* the nearest is {nearest}"):
        check_input_hw(hw, multiple)


def test_verify_takes_names_as_its_messages_say(quadrant_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("stop\nyield\n")
    (tmp_path / "a.png").touch()
    result = CliRunner().invoke(
        group,
        [
            *("verify", str(quadrant_artifact), "--against", "demo", "--images", str(tmp_path)),
            *("--names", str(tmp_path / "names.txt")),
        ],
    )
    assert isinstance(result.exception, CheckpointError)
    assert "names 2 classes" in str(result.exception)
