"""Calibration results on disk, under a key that names everything they came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeyolo.atomic import atomic_folder
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.spec import Backend, Preprocess

_KEY_FILE = "key.json"
_DIGEST_FILE = "digests.json"
_MARKER = "files.json"
_TOOLS = (
    "nncf",
    "openvino",
    "onnx",
    "onnxruntime",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "ai-edge-litert",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """What a calibration result depends on.

    Attributes:
        backend: Runtime that the files are for.
        graph_sha256: Of the float graph: weights and structure.
        pictures_sha256: Of the calibration pictures, in order.
        preprocess: How they enter the network.
        settings: Algorithm and float layers.
        variant: Form of the result where a backend has several.
    """

    backend: Backend
    graph_sha256: str
    pictures_sha256: str
    preprocess: Preprocess
    settings: Int8Settings
    variant: str = ""

    def text(self) -> str:
        """Canonical JSON of the key, versions of all tools and our own code included."""
        document = {
            "backend": self.backend.value,
            "graph": self.graph_sha256,
            "pictures": self.pictures_sha256,
            "preprocess": dataclasses.asdict(self.preprocess),
            "estimator": self.settings.estimator.value,
            "float_layers": sorted(self.settings.float_layers),
            "variant": self.variant,
            "tools": {name: version for name in _TOOLS if (version := _version(name))},
            "code": code_digest(),
        }
        return json.dumps(document, sort_keys=True, indent=1)


class CalibrationCache:
    """A folder of results.

    Args:
        folder: Made when the first result is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: CacheKey) -> dict[str, bytes] | None:
        """Files stored under exactly this key and undamaged, by name; else ``None``."""
        text = key.text()
        entry = self._entry(text)
        try:
            if (entry / _KEY_FILE).read_text(encoding="utf-8") != text:
                return None
            digests: dict[str, str] = json.loads((entry / _DIGEST_FILE).read_text(encoding="utf-8"))
            files = {name: (entry / name).read_bytes() for name in digests}
        except (OSError, ValueError):
            return None
        if any(hashlib.sha256(files[name]).hexdigest() != digests[name] for name in files):
            return None
        return files

    def put(self, key: CacheKey, files: Mapping[str, bytes]) -> None:
        """Store files; the whole entry appears at once.

        Raises:
            OutputError: The folder cannot be written.
        """
        text = key.text()
        with atomic_folder(self._entry(text), marker=_MARKER) as entry:
            for name, data in files.items():
                (entry / name).write_bytes(data)
            digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            (entry / _DIGEST_FILE).write_text(json.dumps(digests), encoding="utf-8")
            (entry / _KEY_FILE).write_text(text, encoding="utf-8")

    def _entry(self, text: str) -> Path:
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]


def code_digest() -> str:
    """SHA-256 over the source of this package: other code may find other numbers."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.name.encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
