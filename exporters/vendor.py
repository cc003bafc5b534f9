"""What every exporter takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeyolo.contract import InputSpec, OutputSpec, Thresholds
from edgeyolo.exporters.graph_model import output_names
from edgeyolo.exporters.onnx_exporter import export_onnx, input_spec
from edgeyolo.letterbox import normalize
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Backend, Layout, ModelSpec, OutputKind, Precision


@dataclass(slots=True)
class ExportSource:
    """A detector in deploy form and the graphs traced from it, each traced once.

    Attributes:
        model: In deploy form, eval mode.
        spec: What it is; its input size decides the graphs'.
        batch: Pictures per call; ``None`` for any number.
        pixels: uint8 NHWC BGR pixels in, preprocessing in the graph; else float32 NCHW.
        suppression: Thresholds of a suppression inside the graph, where the backend can have one;
            ``None`` leaves it to the host.
        canvases: Letterboxed pictures, (H, W, 3) uint8 BGR, on which activations may be observed.
        notes: What a user should know of the tracing (a failed simplification); filled here.
    """

    model: Detector
    spec: ModelSpec
    batch: int | None = 1
    pixels: bool = True
    suppression: Thresholds | None = None
    canvases: tuple[NDArray[np.uint8], ...] = ()
    notes: list[str] = field(default_factory=list)
    _graphs: dict[OutputKind, onnx.ModelProto] = field(default_factory=dict)

    def graph(self, form: OutputKind) -> onnx.ModelProto:
        """A copy of the float32 graph in DECODED or RAW form."""
        if form not in self._graphs:
            proto, report = export_onnx(
                self.model, self.spec, form=form, pixels=self.pixels, batch=self.batch
            )
            if report.problem:
                self.notes.append(f"graph not simplified: {report.problem}")
            self._graphs[form] = proto
        copy = onnx.ModelProto()
        copy.CopyFrom(self._graphs[form])
        return copy

    def batches(self) -> Iterator[NDArray[Any]]:
        """The canvases as the graph's input takes them, one picture repeated to a batch."""
        for canvas in self.canvases:
            batch = np.repeat(canvas[None], self.batch or 1, axis=0)
            if self.pixels:
                yield batch
            else:
                yield normalize(batch, self.spec.preprocess, Layout.NCHW)

    @property
    def input(self) -> InputSpec:
        return input_spec(pixels=self.pixels, batch=self.batch)

    def output(self, form: OutputKind) -> OutputSpec:
        """Outputs of :meth:`graph`."""
        return OutputSpec(kind=form, names=output_names(self.spec, form), layout=Layout.NCHW)


@dataclass(frozen=True, slots=True)
class Proof:
    """A file that computes what the entry computes, where the entry itself cannot be checked.

    An engine does not exist before it is built on the device; suppression inside a graph hides
    the low scores that parity looks at.

    Attributes:
        file: Beside the entry; it need not be among the artifact's files.
        suppressed: Those of the artifact's files that suppress the outputs of *file*, and that
            its backend can run.
    """

    file: str
    backend: Backend
    output: OutputSpec
    suppressed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorFiles:
    """Files that an exporter wrote into a folder.

    Attributes:
        entry: The one that the runtime opens.
        names: All of them, *entry* included.
        input: Its input tensor.
        output: Its output tensors.
        notes: What a user should know, one line each.
        proof: What parity is checked on instead of the entry.
    """

    entry: str
    names: tuple[str, ...]
    input: InputSpec
    output: OutputSpec
    notes: tuple[str, ...] = ()
    proof: Proof | None = None


class Exporter(Protocol):
    """One backend's way from graphs to files."""

    @property
    def backend(self) -> Backend: ...

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose versions belong into the provenance."""

    def write(self, source: ExportSource, precision: Precision, folder: Path) -> VendorFiles:
        """Write model files at FP32 or FP16 into an existing folder.

        Raises:
            UnsupportedError: An operator or combination that the backend cannot take.
            MissingPackageError: A package is not installed.
        """

    def embed(self, folder: Path, entry: str, contract_json: str) -> None:
        """Put the contract into the vendor file's own slot."""


def tool_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of the packages that took part."""
    return {package: metadata.version(package) for package in packages if installed(package)}


def installed(package: str) -> bool:
    """Whether a package is installed, told without importing it."""
    return any(metadata.distributions(name=package))
