"""Class names are read from the files people have, or refused with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgeyolo.checkpoints.names import read_names
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import textured, write_picture

ACCEPTED = {
    "lines.txt": "ant\n bee \ncar door\n\n",
    "windows.txt": "\ufeffant\r\nbee\r\ncar door\r\n",
    "no_suffix": "ant\nbee\ncar door",
    "list.yaml": "nc: 3\nnames: [ant, bee, car door]\n",
    "block.yml": "names:\n  - ant\n  - bee\n  - car door\n",
    "dict.yaml": "names:\n  1: bee\n  0: ant\n  2: car door\n",
    "coco.json": json.dumps(
        {
            "categories": [
                {"id": 9, "name": "car door"},
                {"id": 1, "name": "ant"},
                {"id": 4, "name": "bee"},
            ],
            "images": [],
        }
    ),
    "list.json": '["ant", "bee", "car door"]',
}

REFUSED = {
    "empty.txt": ("", "no class names"),
    "gap.txt": ("ant\n\nbee\n", "class 1"),
    "twice.txt": ("ant\nbee\nant\n", "'ant' occurs twice"),
    "no_names.yaml": ("nc: 3\n", "no 'names'"),
    "gap.yaml": ("names: {0: ant, 2: bee}\n", "0, 1, 2"),
    "norway.yaml": ("names: [se, no]\n", "class 1 is False"),
    "code.yaml": ("names: !!python/object/apply:os.system [true]\n", "not valid YAML"),
    "broken.yaml": ("names: [a\n", "not valid YAML"),
    "date.yaml": ("names: [2026-13-01]\n", "not valid YAML"),
    "broken.json": ("{", "not valid JSON"),
    "deep.json": ("[" * 200_000, "not valid JSON"),
    "no_categories.json": ('{"images": []}', "no 'categories'"),
    "odd_categories.json": ('{"categories": [{"id": "1", "name": "a"}]}', "no 'categories'"),
    "numbers.json": ("[1, 2]", "class 0 is 1"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_names_are_read_from_text_yaml_and_json(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(ACCEPTED[name].encode())
    assert read_names(file) == ("ant", "bee", "car door")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("off", "class 2 is False, expected text; put it in quotes"),
        ("YES", "class 2 is True, expected text; put it in quotes"),
        ("null", "class 2 is None, expected text; put it in quotes"),
        ("", "class 2 is None, expected text; put it in quotes"),
        ("1.5", "class 2 is 1.5, expected text; put it in quotes"),
        ("2026-11-23", "class 2 is datetime.date(2026, 11, 23), expected text; put it in quotes"),
        ("[a]", "class 2 is ['a'], expected text$"),
        ("' '", "class 2 is ' ', expected text$"),
        ("red", "'red' occurs twice"),
        ("'off'", "off"),
        ("7", "7"),
        ("007", "007"),
        ("12:30", "12:30"),
        ("0x1F", "0x1F"),
    ],
)
def test_names_and_data_sets_take_the_same_names_from_a_yaml(
    tmp_path: Path, written: str, expected: str
) -> None:
    write_picture(tmp_path / "images/a.png", textured((8, 8)))
    for number, text in enumerate(
        (
            f"[red, green, {written or '~'}]",
            f"\n- red\n- green\n- {written}",
            f"{{0: red, 1: green, 2: {written}}}",
        )
    ):
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"val: images\nnames: {text}\n")
        for reader in (read_names, lambda path: read_dataset(path).class_names):
            if "class" in expected or "twice" in expected:
                pattern = re.escape(expected).replace(r"\$", "$")
                with pytest.raises(DatasetError, match=pattern):
                    reader(file)
            else:
                assert reader(file) == ("red", "green", expected)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_of_names_is_refused(name: str, tmp_path: Path) -> None:
    content, expected = REFUSED[name]
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DatasetError, match=expected) as raised:
        read_names(file)
    assert "\n" not in str(raised.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        read_names(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_names(tmp_path / "binary.txt")


def test_the_coco_names_are_those_of_the_annotations(shared: Path) -> None:
    assert len(set(COCO_NAMES)) == 80
    files = sorted((shared / "assets/coco_val2017_subset").rglob("*.json"))
    assert files
    assert read_names(files[0]) == COCO_NAMES
