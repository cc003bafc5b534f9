"""What ``edgeyolo build`` needs to know, written beside the networks of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeyolo.errors import ArtifactError, one_line
from edgeyolo.exporters.tensorrt_builder import BatchRange
from edgeyolo.exporters.tensorrt_flags import Typing

RECIPE_FILE = "build_recipe.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecipe:
    """Which network to build from, and how.

    Attributes:
        strong: Network whose tensor types say what runs in which precision.
        weak: The float32 network (with Q/DQ for INT8), for versions where flags say it; the
            same file as *strong* for FP32.
        rtx: Network for TensorRT for RTX, where it cannot take *strong*.
        float32_layers: Nodes of *weak* that stay in FP32 whatever the flags allow.
        batch: Numbers of pictures per call, where the batch is dynamic.
    """

    strong: str
    weak: str
    rtx: str | None = None
    float32_layers: tuple[str, ...] = ()
    batch: BatchRange | None = None
    schema: int = SCHEMA

    @property
    def networks(self) -> frozenset[str]:
        """All files that may be built from."""
        return frozenset({self.strong, self.weak, self.rtx or self.strong})

    def network(self, typing: Typing, *, is_rtx: bool = False) -> str:
        """File to build from."""
        if is_rtx and self.rtx is not None:
            return self.rtx
        return self.strong if typing is Typing.STRONG else self.weak


def write_recipe(folder: Path, recipe: BuildRecipe) -> None:
    """Write ``build_recipe.json``."""
    text = msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    (folder / RECIPE_FILE).write_bytes(text)


def read_recipe(folder: Path) -> BuildRecipe:
    """The recipe of an artifact.

    Raises:
        ArtifactError: There is none, or it is damaged or of another schema.
    """
    path = folder / RECIPE_FILE
    try:
        recipe = msgspec.json.decode(path.read_bytes(), type=BuildRecipe)
    except OSError as error:
        raise ArtifactError(
            f"{folder} has no {RECIPE_FILE}; make an artifact that can be built with: "
            "edgeyolo export --to tensorrt"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {one_line(error)}") from error
    if recipe.schema != SCHEMA:
        raise ArtifactError(f"{path} has schema {recipe.schema}, this version reads {SCHEMA}")
    return recipe
