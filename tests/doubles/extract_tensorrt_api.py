"""What the recorded bindings of four TensorRT versions have, without what edgeyolo never meets.

The recordings (``reference/tensorrt_api`` of the shared folder) are introspections of NVIDIA's
own wheels 8.6.1, 10.3.0, 10.16.1 and 11.4.0. Run from the project root to write the extract:

    python tests/doubles/extract_tensorrt_api.py SHARED/reference/tensorrt_api
"""

from __future__ import annotations

import gzip
import json
import sys
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
