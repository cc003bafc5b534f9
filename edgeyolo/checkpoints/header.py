"""What one of our own checkpoints says about itself."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edgeyolo.checkpoints.records import RefusedError
from edgeyolo.errors import one_line
from edgeyolo.models.architecture import Architecture
from edgeyolo.spec import ModelSpec

SCHEMA = 1
HEADER_KEY = "edgeyolo"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHeader:
    """What one of our checkpoints says about itself.

    Attributes:
        spec: Names, preprocessing and input size.
        architecture: What to build; derived from the tensors where it was not written.
        schema: Of this header.
    """

    spec: ModelSpec
    architecture: Architecture | None = None
    schema: int = SCHEMA


def find_header(root: object) -> OwnHeader | None:
    """The header of one of our files; ``None`` for files of others.

    Raises:
        RefusedError: A header of another schema, or a damaged one.
    """
    text = root.get(HEADER_KEY) if isinstance(root, dict) else None
    if not isinstance(text, str):
        return None
    try:
        data = msgspec.json.decode(text)
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise RefusedError(
                f"its edgeyolo header has schema {schema!r}, this version reads {SCHEMA}; "
                "update edgeyolo"
            )
        return msgspec.convert(data, OwnHeader)
    except (msgspec.DecodeError, ValueError) as error:
        raise RefusedError(f"its edgeyolo header is not valid: {one_line(error)}") from error
