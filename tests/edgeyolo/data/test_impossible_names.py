"""Lists and YAML files that name what cannot be, or what would fill the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeyolo.calibration.pictures import find_pictures
from edgeyolo.checkpoints.names import read_names
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError, EdgeYoloError, TrainingError
from edgeyolo.sources import open_source
from edgeyolo.training.session import resume
from tests.edgeyolo.data.dataset_files import textured, write_picture

# Nine lists of nine lists ...: as text it would have two thousand million letters.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a\0b.jpg", "/" * 5000, ".."])
def test_names_that_no_file_can_have_are_missing_pictures(tmp_path: Path, name: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{name}\n")
    (tmp_path / "d.yaml").write_text("val: list.txt\nnames: [cube]\n")
    with pytest.raises(EdgeYoloError):
        open_source(file).read()
    with pytest.raises(DatasetError):
        find_pictures(file)
    with pytest.raises(DatasetError, match="no usable picture"):
        read_dataset(tmp_path / "d.yaml")


@pytest.mark.parametrize(
    "entry",
    [
        "names: *i",
        "names: [*i]",
        "names: {0: *i}",
        "val: *i\nnames: [a]",
        "val: [*i]\nnames: [a]",
        "path: *i\nval: x\nnames: [a]",
        "nc: *i\nval: x\nnames: [a]",
        "val: {*i: 1}\nnames: [a]",
    ],
)
def test_lists_of_lists_are_refused_in_a_short_line(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(BOMB + entry + "\n")
    with pytest.raises(DatasetError) as caught:
        read_dataset(file)
    assert len(str(caught.value)) < 600
    if entry.startswith("names"):
        with pytest.raises(DatasetError) as caught:
            read_names(file)
        assert len(str(caught.value)) < 600


def test_a_device_is_no_list_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("val: /dev/zero\nnames: [cube]\n")
    with pytest.raises(DatasetError, match="/dev/zero is a device"):
        read_dataset(tmp_path / "d.yaml")


def test_a_hundred_thousand_class_names_are_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(f"class {index}" for index in range(100_000)))
    assert len(read_names(tmp_path / "names.txt")) == 100_000


def test_broken_pictures_of_a_calibration_set_are_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", textured((48, 64)))
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8 no picture")
    sources = find_pictures(tmp_path)
    assert sources[0].brightness() > 0
    with pytest.raises(EdgeYoloError, match=r"b\.jpg"):
        sources[1].brightness()


@pytest.mark.parametrize("text", ["[]", "7", "{", '{"request": 1}', '{"request": []}', "[" * 9999])
def test_a_run_with_a_broken_config_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(TrainingError, match="is not the folder of a run"):
        resume(tmp_path)
