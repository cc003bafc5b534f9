"""``--to tensorrt``: an artifact that ``edgeyolo build`` finishes on the device."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.nms_rows_graph import append_suppression_rows
from edgeyolo.exporters.onnx_exporter import embed_contract
from edgeyolo.exporters.tensorrt_files import DEFAULT_BATCH, RTX, STRONG, WEAK, write_networks
from edgeyolo.exporters.vendor import ExportSource, Proof, VendorFiles
from edgeyolo.spec import Backend, OutputKind, Precision

_PROOF = "decoded.onnx"


class TensorRtFiles:
    """See :class:`edgeyolo.exporters.vendor.Exporter`."""

    backend: Backend = Backend.TENSORRT
    packages: tuple[str, ...] = ("torch", "onnx", "onnxsim", "onnxruntime")

    def write(self, source: ExportSource, precision: Precision, folder: Path) -> VendorFiles:
        return self.write_graph(source, source.graph(OutputKind.DECODED), precision, folder)

    def write_graph(
        self, source: ExportSource, network: onnx.ModelProto, precision: Precision, folder: Path
    ) -> VendorFiles:
        """Write an artifact of a DECODED graph, which for INT8 has symmetric Q/DQ pairs."""
        output = source.output(OutputKind.DECODED)
        batch = None if source.batch else DEFAULT_BATCH
        names, report = write_networks(
            folder, network, precision, batches=source.batches(), batch=batch
        )
        # Parity is checked on the network that strongly typed engines are built from; for INT8 on
        # its float32 form: ONNX Runtime 1.32 fuses Q/DQ with FP16 scales into operators that it
        # then refuses (QLinearConcat).
        checked = WEAK if precision is Precision.INT8 else STRONG
        proof = Proof(checked, Backend.ONNX, output)
        if source.suppression is not None:
            (folder / checked).rename(folder / _PROOF)
            runnable = (checked,) if precision is Precision.INT8 else (checked, RTX)
            proof = Proof(_PROOF, Backend.ONNX, output, suppressed=runnable)
            output = suppressed_output()
            names, report = write_networks(
                folder,
                append_suppression(network, source.suppression),
                precision,
                batches=source.batches(),
                batch=batch,
                rtx_network=append_suppression_rows(network, source.suppression),
            )
        return VendorFiles(
            entry=STRONG,
            names=names,
            input=source.input,
            output=output,
            notes=(
                *(report.notes if report else ()),
                "parity was checked on the network in ONNX Runtime; build the engine on the "
                "device with: edgeyolo build ARTIFACT",
            ),
            proof=proof,
        )

    def embed(self, folder: Path, entry: str, contract_json: str) -> None:
        network = onnx.load(folder / entry)
        embed_contract(network, contract_json)
        (folder / entry).write_bytes(network.SerializeToString())
