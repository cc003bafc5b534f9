"""What the installed OpenCV can show and open."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeyolo.doctor.findings import Finding, Severity
from edgeyolo.machine import Machine, MachineKind
from edgeyolo.opencv import JETSON_OPENCV, OpenCvProblem, load_opencv


@dataclass(frozen=True, slots=True)
class OpenCvBuild:
    """How OpenCV was built.

    Attributes:
        windows: Toolkit for windows (``"QT5"``, ``"GTK3"``), or ``None`` in headless builds.
        gstreamer: Whether pipelines can be opened.
        ffmpeg: Whether videos and network streams can be opened.
        display: Whether this session has a screen.
    """

    version: str
    windows: str | None
    gstreamer: bool
    ffmpeg: bool
    display: bool


def opencv_build(environment: Mapping[str, str] = os.environ) -> OpenCvBuild:
    """Ask OpenCV itself.

    Raises:
        MissingPackageError: It does not load; :func:`edgeyolo.opencv.opencv_problem` says why.
    """
    cv2 = load_opencv()
    return read_build(cv2.__version__, cv2.getBuildInformation(), environment)


def read_build(version: str, text: str, environment: Mapping[str, str]) -> OpenCvBuild:
    """Read the text of ``cv2.getBuildInformation``."""
    # "  GUI:                           QT5", then a line for each toolkit.
    gui = re.search(r"^  GUI:[ \t]*(\S+)?", text, re.MULTILINE)
    toolkit = gui[1] if gui else None
    return OpenCvBuild(
        version=version,
        windows=None if toolkit in (None, "NONE") else toolkit,
        gstreamer=_is_on(text, "GStreamer"),
        ffmpeg=_is_on(text, "FFMPEG"),
        display=bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")),
    )


def problem_findings(problem: OpenCvProblem | None, machine: Machine) -> list[Finding]:
    """That OpenCV does not load, where that is so."""
    if problem is None:
        return []
    fix = problem.fix
    if problem.text.endswith("is not installed") and machine.kind is MachineKind.JETSON:
        fix = JETSON_OPENCV
    text = f"{problem.text}; nothing that reads or draws pictures works"
    return [Finding("opencv", Severity.WARNING, text, fix)]


def opencv_findings(build: OpenCvBuild, machine: Machine) -> list[Finding]:
    """What of it bears on cameras and windows."""
    findings = []
    if not build.ffmpeg:
        findings.append(
            Finding(
                "opencv",
                Severity.WARNING,
                f"OpenCV {build.version} has no FFmpeg: videos and RTSP streams do not open",
                JETSON_OPENCV
                if machine.kind is MachineKind.JETSON
                else "pip install --force-reinstall opencv-python",
            )
        )
    if not build.gstreamer and machine.kind in (MachineKind.JETSON, MachineKind.RASPBERRY_PI):
        findings.append(
            Finding(
                "opencv",
                Severity.NOTE,
                f"OpenCV {build.version} has no GStreamer, which ribbon-cable (CSI) cameras and "
                "hardware decoders need; USB cameras and RTSP work",
                "use the system's OpenCV: sudo apt install python3-opencv, and a venv with "
                "--system-site-packages without opencv-python",
            )
        )
    if build.windows is None:
        text = f"OpenCV {build.version} is built without windows; edgeyolo camera runs headless"
        # On a Jetson the wheel would hide an OpenCV with GStreamer.
        fix = JETSON_OPENCV if machine.kind is MachineKind.JETSON else "pip install opencv-python"
        findings.append(Finding("opencv", Severity.NOTE, text, fix))
    elif not build.display:
        text = "no display in this session (DISPLAY is not set); edgeyolo camera runs headless"
        findings.append(Finding("display", Severity.NOTE, text))
    return findings


def _is_on(text: str, name: str) -> bool:
    return re.search(rf"^\s*{name}:\s*YES", text, re.MULTILINE) is not None
