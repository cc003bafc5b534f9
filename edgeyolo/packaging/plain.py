"""The plain package: an artifact, what to install, and a script that runs it."""

from __future__ import annotations

from pathlib import Path

from edgeyolo.artifact import save_artifact
from edgeyolo.contract import Contract
from edgeyolo.packaging.requirements import requirements
from edgeyolo.spec import Backend

RUN_SCRIPT = '''\
"""Find objects in what a camera sees, or in a folder, picture or video.

    python run.py [SOURCE] [--save FOLDER] [--show]

SOURCE is a camera number (0), an rtsp:// or http:// address, or a path. One JSON object a frame
is printed; --save writes annotated pictures, --show opens a window.
"""

import argparse
import json
import sys
from pathlib import Path

import edgeyolo
from edgeyolo.camera import CameraSettings, run_camera
from edgeyolo.drawing import draw

parser = argparse.ArgumentParser()
parser.add_argument("source", nargs="?", default="0")
parser.add_argument("--save", type=Path)
parser.add_argument("--show", action="store_true")
arguments = parser.parse_args()


def tell(result):
    found = result.detections
    frame = {"frame": result.frame_index, "name": result.name}
    print(json.dumps({**frame, "detections": found.as_dicts()}), flush=True)
    if arguments.save:
        import cv2

        picture = draw(result.frame_bgr, found)
        cv2.imwrite(str(arguments.save / f"{result.frame_index:06d}.jpg"), picture)


def say(line):
    print(line, file=sys.stderr)


if arguments.save:
    arguments.save.mkdir(parents=True, exist_ok=True)
try:
    with edgeyolo.load(Path(__file__).parent / "model") as predictor:
        settings = CameraSettings(window=arguments.show)
        run_camera(predictor, arguments.source, settings, say, tell)
except edgeyolo.EdgeYoloError as error:
    sys.exit(f"run.py: {error}")
'''


def write_plain(folder: Path, contract: Contract, files: dict[str, Path]) -> None:
    """Fill *folder* with the artifact, ``requirements.txt``, ``run.py`` and ``README.txt``."""
    save_artifact(folder / "model", contract, files)
    (folder / "requirements.txt").write_text(requirements(contract), encoding="utf-8")
    (folder / "run.py").write_text(RUN_SCRIPT, encoding="utf-8")
    (folder / "README.txt").write_text(_readme(contract), encoding="utf-8")


def _readme(contract: Contract) -> str:
    height, width = contract.model.input_hw
    build, building = "", ""
    if contract.backend is Backend.TENSORRT and contract.build_target is None:
        build = "The engine is not built yet: the device makes it, once, with edgeyolo build.\n"
        building = "    edgeyolo build model         minutes; on the device itself\n"
    if contract.build_target is not None:
        target = contract.build_target
        build = (
            f"The engine was built for {target.gpu or 'any RTX GPU from Ampere on'} with "
            f"{target.module} {target.version}; it loads on no other.\n"
            "After an update of TensorRT, or for another GPU: edgeyolo build model\n"
        )
    return (
        f"{contract.model.name}, {contract.backend} {contract.precision}, input {width}x{height}, "
        f"{contract.model.num_classes} classes.\n{build}\n"
        "    pip install -r requirements.txt\n"
        f"{building}"
        "    python run.py 0              camera 0\n"
        "    python run.py pictures/      a folder, a picture or a video\n"
    )
