"""OpenCV, or the reason why it does not load."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeyolo.errors import MissingPackageError, one_line, wants_older_numpy

JETSON_OPENCV = (
    "sudo apt install python3-opencv, and a venv made with --system-site-packages (OpenCV's wheels "
    "have no GStreamer)"
)
_LOADING = threading.Lock()
_SILENCING = threading.Lock()
_silencers, _level_before = 0, 0


@dataclass(frozen=True, slots=True)
class OpenCvProblem:
    """Why OpenCV does not load.

    Attributes:
        text: What is so.
        fix: A command, mostly.
    """

    text: str
    fix: str


def load_opencv() -> Any:
    """The module ``cv2``.

    Raises:
        MissingPackageError: It is not installed, or does not load; says what to do.
    """
    problem = opencv_problem()
    if problem is not None:
        raise MissingPackageError(f"{problem.text}; run: {problem.fix}")
    import cv2

    return cv2


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing their own account of a failed attempt to stderr.

    What the user set in ``OPENCV_FFMPEG_LOGLEVEL`` or ``OPENCV_FFMPEG_DEBUG`` stays; else
    :func:`opencv_problem` silences FFmpeg. OpenCV reads that when FFmpeg is used for the first
    time in the process, and then for good.
    """
    global _silencers, _level_before
    cv2 = load_opencv()
    logging = cv2.utils.logging
    # The level belongs to the process, and several sources are opened at once: the first silences,
    # the last puts back what was there before the first.
    with _SILENCING:
        if _silencers == 0:
            _level_before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _silencers += 1
    try:
        yield
    finally:
        with _SILENCING:
            _silencers -= 1
            if _silencers == 0:
                logging.setLogLevel(_level_before)


@functools.cache
def opencv_problem() -> OpenCvProblem | None:
    """Import OpenCV; ``None`` where that works. Asked once: a second import fails otherwise."""
    on_jetson = Path("/etc/nv_tegra_release").exists()
    told = io.StringIO()
    # Here, where programs load their model, not with the first stream: a variable that is set
    # while another thread starts a program makes that start fail ("Bad address").
    if "OPENCV_FFMPEG_DEBUG" not in os.environ:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    try:
        # A numpy that does not fit prints a page to stderr before the error is raised.
        with _LOADING, contextlib.redirect_stderr(told):
            import cv2  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            fix = JETSON_OPENCV if on_jetson else "pip install 'edgeyolo[opencv]'"
            return OpenCvProblem("OpenCV is not installed", fix)
        return _broken(error, on_jetson)
    except (ImportError, OSError, AttributeError, RuntimeError, SystemError) as error:
        return _broken(error, on_jetson)
    return None


def _broken(error: Exception, on_jetson: bool) -> OpenCvProblem:
    import numpy

    if wants_older_numpy(error):
        return OpenCvProblem(
            f"OpenCV was built for numpy 1 and does not load with numpy {numpy.__version__}",
            "pip install 'numpy<2'"
            + ("" if on_jetson else " (or a newer OpenCV: pip install --upgrade opencv-python)"),
        )
    text = f"OpenCV is installed but does not load ({one_line(error)})"
    if "libGL" in str(error) or "libgthread" in str(error):
        fix = "pip uninstall -y opencv-python && pip install opencv-python-headless"
        return OpenCvProblem(text, f"{fix} (or: sudo apt install libgl1 libglib2.0-0)")
    if on_jetson:
        return OpenCvProblem(text, JETSON_OPENCV)
    return OpenCvProblem(text, "pip install --force-reinstall 'edgeyolo[opencv]'")
