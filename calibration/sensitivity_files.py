"""A sensitivity as files for the artifact: ``sensitivity.json`` and ``sensitivity.svg``."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from edgeyolo.calibration.block_sensitivity import BlockSensitivity
from edgeyolo.calibration.sensitivity import Sensitivity, decibel

JSON_NAME = "sensitivity.json"
SVG_NAME = "sensitivity.svg"

_ROW_PX = 14
_NAME_PX = 560
_BAR_PX = 360
# Bars begin at the quietest value worth a bar.
_QUIET_DB = 60.0


def sensitivity_json(sensitivity: Sensitivity) -> str:
    """The numbers, layers in graph order."""
    blocks = sensitivity.blocks
    document = {
        "snr_all_db": round(decibel(sensitivity.noise), 2),
        "layers": [
            {
                "name": layer.name,
                "snr_alone_db": round(layer.snr_alone_db, 2),
                "noise_regained_share": sensitivity.regained_share(layer),
                "work_share": round(layer.work_share, 5),
            }
            for layer in sensitivity.layers
        ],
        "blocks": None if blocks is None else _blocks_json(blocks),
    }
    return json.dumps(document, indent=2) + "\n"


def _blocks_json(blocks: BlockSensitivity) -> dict[str, object]:
    return {
        "score": blocks.kind.value,
        "pictures": blocks.pictures,
        "float": blocks.float_score,
        "int8": blocks.int8_score,
        "blocks": [
            {
                "name": block.name,
                "layers": list(block.layers),
                "alone": block.alone,
                "left_float": block.left_float,
            }
            for block in blocks.blocks
        ],
    }


def sensitivity_svg(sensitivity: Sensitivity, float_layers: frozenset[str] = frozenset()) -> str:
    """A bar per layer in graph order: the noise that it alone brings, in decibel.

    Below, where it was measured, a bar per block: the accuracy that it alone costs.

    Args:
        float_layers: Drawn in another colour: those that were left in float.
    """
    width = _NAME_PX + _BAR_PX + 90
    blocks = [] if sensitivity.blocks is None else _block_rows(sensitivity.blocks)
    height = (len(sensitivity.layers) + len(blocks) + 4) * _ROW_PX
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="{_ROW_PX + 2}" font-size="12">Noise that each layer brings when only it '
        f"is INT8 (all of them: {decibel(sensitivity.noise):.1f} dB signal to noise)</text>",
    ]
    for index, layer in enumerate(sensitivity.layers):
        rows += _bar(
            index + 2,
            layer.name,
            (_QUIET_DB - layer.snr_alone_db) / _QUIET_DB,
            f"{layer.snr_alone_db:.1f} dB",
            "#c05020" if layer.name in float_layers else "#3070b0",
        )
    for index, block in enumerate(blocks, len(sensitivity.layers) + 2):
        rows += _bar(index, *block, "#3070b0")
    legend = "INT8" + (", orange: left in float" if float_layers else "")
    rows += [f'<text x="8" y="{height - 6}" fill="#3070b0">blue: {legend}</text>', "</svg>"]
    return "\n".join(rows) + "\n"


def _block_rows(blocks: BlockSensitivity) -> list[tuple[str, float, str]]:
    """Name, share of the longest bar, and label of each block, below a heading."""
    most = max(1e-9, *(blocks.lost(block) for block in blocks.blocks))
    heading = f"{blocks.kind} lost when only this block is INT8"
    return [
        (heading, 0.0, f"(of {blocks.float_score:.4f})"),
        *(
            (block.name, blocks.lost(block) / most, f"{blocks.lost(block):+.4f}")
            for block in blocks.blocks
        ),
    ]


def _bar(row: int, name: str, share: float, label: str, color: str) -> list[str]:
    y = row * _ROW_PX
    length = max(0.0, min(1.0, share)) * _BAR_PX
    return [
        f'<text x="{_NAME_PX - 6}" y="{y + 10}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{_NAME_PX}" y="{y + 2}" width="{length:.1f}" height="{_ROW_PX - 4}" '
        f'fill="{color}"/>',
        f'<text x="{_NAME_PX + length + 4:.1f}" y="{y + 10}">{escape(label)}</text>',
    ]
