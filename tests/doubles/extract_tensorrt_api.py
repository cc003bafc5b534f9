"""What the recorded bindings of four TensorRT versions have, without what edgeyolo never meets.

The recordings (``reference/tensorrt_api`` of the shared folder) are introspections of NVIDIA's
own wheels 8.6.1, 10.3.0, 10.16.1 and 11.4.0. Run from the project root to write the extract:

    python tests/doubles/extract_tensorrt_api.py SHARED/reference/tensorrt_api

The recordings say what exists, not what is deprecated. What 11 has marked is read from the
docstrings of TensorRT for RTX, whose API is that of 11, and written beside the extract; what a
version has and the next recorded one lacks follows from the recordings.
"""

from __future__ import annotations

import gzip
import inspect
import json
import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

# fmt: off
CLASSES = [
    "Builder", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "IHostMemory", "ILayer",
    "ILogger", "INetworkDefinition", "IOptimizationProfile", "IOutputAllocator", "ITensor",
    "ITimingCache", "Logger", "OnnxParser", "ParserError", "Runtime",
]
ENUMS = [
    "BuilderFlag", "DataType", "DeviceType", "LayerType", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParserFlag", "TensorIOMode",
]
# fmt: on
EXTRACT = Path(__file__).with_name("tensorrt_api.json")
DEPRECATED = Path(__file__).with_name("tensorrt_deprecated.json")
# An entry of a class's docstring: ``:ivar name: ...`` or, of an enum, ``NAME : ...``.
_ENTRY = re.compile(r"^\s*(?::ivar (\w+):|(\w+) :)", re.MULTILINE)


def extract(folder: Path) -> dict[str, Any]:
    """Version -> classes (member -> parameters, or ``None`` for a property) and enums."""
    found = {}
    for path in sorted(folder.glob("tensorrt_*.json.gz")):
        recorded = json.loads(gzip.decompress(path.read_bytes()))
        found[recorded["version"]] = {
            "classes": {
                name: {
                    member: _parameters(member, text)
                    for member, text in recorded["classes"][name].items()
                    if member != "_pybind11_conduit_v1_"
                }
                for name in CLASSES
            },
            "enums": {name: recorded["enums"][name] for name in ENUMS},
        }
    return found


def deprecated_in_11(module: Any) -> dict[str, Any]:
    """Members of classes and enums that the docstrings of *module* call deprecated."""
    found = set()
    for name, part in vars(module).items():
        if not inspect.isclass(part):
            continue
        text = part.__doc__ or ""
        starts = [*_ENTRY.finditer(text)]
        for start, following in zip_longest(starts, starts[1:]):
            entry = text[start.start() : following.start() if following else None]
            if "deprecated" in entry.lower():
                found.add(f"{name}.{start[1] or start[2]}")
        for member, value in vars(part).items():
            if callable(value) and "deprecated" in (value.__doc__ or "").lower():
                found.add(f"{name}.{member}")
    return {"module": f"{module.__name__} {module.__version__}", "members": sorted(found)}


def absent_from(later: dict[str, Any], version: dict[str, Any]) -> set[str]:
    """``"Class.member"`` of a version that a later one lacks."""
    return {
        f"{name}.{member}"
        for kind in ("classes", "enums")
        for name, members in version[kind].items()
        for member in members
        if member not in later[kind].get(name, ())
    }


def _parameters(member: str, text: str) -> list[str] | None:
    """``["flags: typing.SupportsInt = 0"]``; ``["*"]`` where the recording lists overloads."""
    if not text.startswith(f"{member}("):
        return None
    inside = text[len(member) + 1 : text.rindex(")")] if ")" in text else "*args"
    if inside.startswith("*args"):
        return ["*"]
    parameters = [part.strip() for part in _split(inside)][1:]
    return [part.replace("tensorrt_bindings.tensorrt.", "") for part in parameters]


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


if __name__ == "__main__":
    EXTRACT.write_text(json.dumps(extract(Path(sys.argv[1])), indent=0, sort_keys=True) + "\n")
    import tensorrt_rtx

    DEPRECATED.write_text(json.dumps(deprecated_in_11(tensorrt_rtx), indent=0) + "\n")
