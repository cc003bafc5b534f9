"""Class names from a file: plain text, a data-set YAML, or COCO JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeyolo.data.class_names import checked_names
from edgeyolo.errors import DatasetError, needs, one_line

_MAX_BYTES = 512 << 20  # COCO annotation files reach 450 MB


def read_names(file: Path) -> tuple[str, ...]:
    """The class names in class-id order.

    Args:
        file: ``.txt``: one name a line. ``.yaml``/``.yml``: ``names`` as a list, or as a dict
            from class id to name. ``.json``: COCO annotations, whose categories are taken in
            the order of their ids, or a plain list of names.

    Raises:
        DatasetError: The file is missing, has no names, or an empty or repeated one.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DatasetError(
                f"{file} has {file.stat().st_size:,} bytes; that is no list of names"
            )
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"cannot read class names: {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"cannot read class names: {file} is not UTF-8 text") from error
    suffix = file.suffix.lower()
    if suffix == ".json":
        names = _from_json(text, file)
    elif suffix in (".yaml", ".yml"):
        names = _from_yaml(text, file)
    else:
        names = [line.strip() for line in text.rstrip().splitlines()]
    return checked_names(names, file)


def _from_json(text: str, file: Path) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is not valid JSON: {one_line(error)}") from error
    if isinstance(data, list):
        return data
    categories = data.get("categories") if isinstance(data, dict) else None
    if not isinstance(categories, list) or any(
        not isinstance(row, dict) or type(row.get("id")) is not int or "name" not in row
        for row in categories
    ):
        raise DatasetError(
            f"{file} has no 'categories' with 'id' and 'name'; a COCO annotation file has them"
        )
    return [row["name"] for row in sorted(categories, key=lambda row: int(row["id"]))]


def _from_yaml(text: str, file: Path) -> list[Any]:
    with needs("PyYAML", extra="eval"):
        import yaml

        from edgeyolo.data.dataset_yaml import load_yaml, names_of
    try:
        document = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is not valid YAML: {one_line(error)}") from error
    return names_of(document, file)
