"""Artifacts for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeyolo.exporters.fp16_graph import to_fp16, to_fp16_on_pictures
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.onnx_exporter import embed_contract, save_onnx
from edgeyolo.exporters.vendor import ExportSource, Proof, VendorFiles
from edgeyolo.spec import Backend, OutputKind, Precision

ENTRY = "model.onnx"
# The graph before suppression, for parity only.
DECODED = "decoded.onnx"


class OnnxFiles:
    """See :class:`edgeyolo.exporters.vendor.Exporter`."""

    backend: Backend = Backend.ONNX
    packages: tuple[str, ...] = ("torch", "onnx", "onnxsim")

    def write(self, source: ExportSource, precision: Precision, folder: Path) -> VendorFiles:
        proto = source.graph(OutputKind.DECODED)
        notes: tuple[str, ...] = ()
        if precision is Precision.FP16:
            if source.canvases:
                proto, report = to_fp16_on_pictures(proto, source.batches())
            else:
                proto, report = to_fp16(proto)
            notes = (
                f"{len(report.fp16_nodes)} operators compute in fp16, "
                f"{len(report.float32_nodes)} stay in fp32",
            )
        output = source.output(OutputKind.DECODED)
        proof = None
        if source.suppression is not None:
            save_onnx(proto, folder / DECODED)
            proof = Proof(DECODED, Backend.ONNX, output, suppressed=(ENTRY,))
            proto = append_suppression(proto, source.suppression)
            output = suppressed_output()
        save_onnx(proto, folder / ENTRY)
        names = tuple(name for name in files_beside(folder, ENTRY) if not name.startswith(DECODED))
        return VendorFiles(ENTRY, names, source.input, output, notes, proof)

    def embed(self, folder: Path, entry: str, contract_json: str) -> None:
        # Weights kept in a file beside stay there: only the graph is rewritten.
        proto = onnx.load(folder / entry, load_external_data=False)
        embed_contract(proto, contract_json)
        (folder / entry).write_bytes(proto.SerializeToString())


def files_beside(folder: Path, entry: str) -> tuple[str, ...]:
    """*entry* first, then every other file of the folder."""
    others = sorted(path.name for path in folder.iterdir() if path.name != entry)
    return (entry, *others)
