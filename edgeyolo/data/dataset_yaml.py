"""The data-set YAML: class names, and where the pictures of each split are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgeyolo.data.class_names import checked_names
from edgeyolo.errors import DatasetError, brief, one_line


@dataclass(frozen=True, slots=True)
class DatasetYaml:
    """A data-set YAML: class names, and per split the folders, lists or COCO files.

    Attributes:
        path: The YAML file.
        class_names: In class-id order.
        splits: ``"train"``, ``"val"``, ``"test"`` to the sources as absolute paths.
    """

    path: Path
    class_names: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]

    def sources(self, split: str) -> tuple[Path, ...]:
        try:
            return self.splits[split]
        except KeyError:
            raise DatasetError(
                f"{self.path} has no split {split!r}; it has: {', '.join(self.splits) or 'none'}"
            ) from None


def read_dataset_yaml(file: Path) -> DatasetYaml:
    """Read a data-set YAML: ``names`` (list, or id: name), ``train``, ``val``, ``test``, ``path``.

    Raises:
        DatasetError: The file is missing, no YAML, or without usable names.
    """
    try:
        document = load_yaml(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"cannot read {file}: {error.strerror or one_line(error)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is not a YAML file: {one_line(error)}") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{file} is no data-set YAML: it needs names, train and val")
    names = checked_names(names_of(document, file), file)
    if "nc" in document and document["nc"] != len(names):
        raise DatasetError(
            f"{file}: nc is {brief(document['nc'])} but there are {len(names)} names"
        )
    root = file.parent
    if document.get("path"):
        root = root / _place(document["path"], "path", file)
    splits = {}
    for split in ("train", "val", "test"):
        value = document.get(split)
        if not value:
            continue
        entries = value if isinstance(value, list) else [value]
        splits[split] = tuple(root / _place(entry, split, file) for entry in entries)
    return DatasetYaml(file, names, splits)


def _place(value: object, key: str, file: Path) -> str:
    # Only then text: YAML lets a short file say a list of billions.
    if not isinstance(value, str | int) or "\0" in str(value):
        raise DatasetError(f"{file}: {key} must name files or folders, got {brief(value)}")
    return str(value)


def names_of(document: object, file: Path) -> list[Any]:
    """``names`` of a YAML document, in class-id order; what each name is remains to be checked.

    Raises:
        DatasetError: There are none, or their numbers have gaps.
    """
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        by_number = {str(number): name for number, name in names.items()}
        numbers = [str(index) for index in range(len(names))]
        if by_number.keys() == set(numbers):
            names = [by_number[number] for number in numbers]
    if not isinstance(names, list):
        raise DatasetError(
            f"{file} has no 'names' as a list, or as a dict with the keys 0, 1, 2, ..."
        )
    # A whole number is a fine name (digits); YAML only reads it as something else than text.
    return [str(name) if type(name) is int else name for name in names]


def load_yaml(text: str) -> object:
    """What the YAML says, whole numbers as text where Python writes them otherwise.

    Raises:
        yaml.YAMLError: It is no YAML.
        ValueError: A date or number cannot be.
        RecursionError: It is nested too deeply.
    """
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """Knows no Python objects, and keeps names such as 007 and 12:30 as they are written."""


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int | str:
    number = loader.construct_yaml_int(node)
    return number if str(number) == node.value else str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
