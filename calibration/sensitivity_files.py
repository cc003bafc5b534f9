"""A sensitivity as files for the artifact: ``sensitivity.json`` and ``sensitivity.svg``."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from edgeyolo.calibration.sensitivity import Sensitivity, decibel

JSON_NAME = "sensitivity.json"
SVG_NAME = "sensitivity.svg"

_ROW_PX = 14
_NAME_PX = 420
_BAR_PX = 360
# Bars begin at the quietest value worth a bar.
_QUIET_DB = 60.0


def sensitivity_json(sensitivity: Sensitivity) -> str:
    """The numbers, layers in graph order."""
    document = {
        "snr_all_db": round(decibel(sensitivity.noise), 2),
        "layers": [
            {
                "name": layer.name,
                "snr_alone_db": round(layer.snr_alone_db, 2),
                "noise_regained_share": sensitivity.regained_share(layer),
                "work_share": round(layer.work_share, 5),
                "ap_alone": layer.ap_alone,
            }
            for layer in sensitivity.layers
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def sensitivity_svg(sensitivity: Sensitivity, float_layers: frozenset[str] = frozenset()) -> str:
    """A bar per layer in graph order: the noise that it alone brings, in decibel.

    Args:
        float_layers: Drawn in another colour: those that were left in float.
    """
    width = _NAME_PX + _BAR_PX + 90
    height = (len(sensitivity.layers) + 4) * _ROW_PX
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="{_ROW_PX + 2}" font-size="12">Noise that each layer brings when only it '
        f"is INT8 (all of them: {decibel(sensitivity.noise):.1f} dB signal to noise)</text>",
    ]
    for index, layer in enumerate(sensitivity.layers):
        y = (index + 2) * _ROW_PX
        label = f"{layer.snr_alone_db:.1f} dB"
        length = max(0.0, min(1.0, (_QUIET_DB - layer.snr_alone_db) / _QUIET_DB)) * _BAR_PX
        color = "#c05020" if layer.name in float_layers else "#3070b0"
        rows += [
            f'<text x="{_NAME_PX - 6}" y="{y + 10}" text-anchor="end">{escape(layer.name)}</text>',
            f'<rect x="{_NAME_PX}" y="{y + 2}" width="{length:.1f}" height="{_ROW_PX - 4}" '
            f'fill="{color}"/>',
            f'<text x="{_NAME_PX + length + 4:.1f}" y="{y + 10}">{label}</text>',
        ]
    legend = "INT8" + (", orange: left in float" if float_layers else "")
    rows += [f'<text x="8" y="{height - 6}" fill="#3070b0">blue: {legend}</text>', "</svg>"]
    return "\n".join(rows) + "\n"
