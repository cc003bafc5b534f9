"""The camera view: a stream with overlay, window, recording and log.

There is no tracker: the kept-up libraries for ByteTrack (``supervision``, ``trackers``) pull SciPy,
matplotlib and pandas-sized trees onto the device, and boxes of a stream can be fed to any of them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.opencv import load_opencv
from edgeyolo.overlay import Overlay
from edgeyolo.predictor import Predictor
from edgeyolo.recording import DetectionLog, VideoRecorder, check_not_source, save_snapshot
from edgeyolo.sources import SourceOptions
from edgeyolo.stream import Stream, StreamMode, StreamResult

Say = Callable[[str], None]
OnResult = Callable[[StreamResult], None]

_TITLE = "edgeyolo - q quits, s saves a snapshot"
# Opening a window without a display makes Qt end the whole process, so it is tried in another.
_TRY_WINDOW = "import cv2; cv2.namedWindow('t'); cv2.waitKey(1); cv2.destroyAllWindows()"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSettings:
    """What to do with a stream.

    Attributes:
        mode: See :class:`~edgeyolo.stream.StreamMode`; ``None`` chooses by source.
        options: For cameras and network streams.
        min_score, iou_threshold: As for ``Predictor.predict``.
        window: Whether to show a window where there is a display.
        record: Video file for the annotated frames.
        log: File for detections as JSON lines.
        snapshots: Folder for the snapshot key.
        max_frames: End after so many results.
    """

    mode: StreamMode | None = None
    options: SourceOptions = field(default_factory=SourceOptions)
    min_score: float | None = None
    iou_threshold: float | None = None
    window: bool = True
    record: Path | None = None
    log: Path | None = None
    snapshots: Path = Path()
    max_frames: int | None = None


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """What happened."""

    frames: int
    dropped: int
    seconds: float
    objects: int
    median_age_ms: float

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


def run_camera(
    predictor: Predictor,
    source: int | str | Path,
    settings: CameraSettings | None = None,
    say: Say = lambda _: None,
    on_result: OnResult = lambda _: None,
) -> CameraSummary:
    """Show, record and log a source until it ends, ``q`` is pressed, or Ctrl-C.

    Without a display there is no window, and *say* is told so. The ``s`` key saves a snapshot. A
    live source is recorded at its own pace.

    Args:
        predictor: Used for nothing else meanwhile.
        source: As :func:`edgeyolo.sources.open_source` takes it.
        settings: What to do; a window alone where left out.
        say: Gets messages for the user, one line each.
        on_result: Called with every result, before it is drawn.

    Raises:
        MissingPackageError: OpenCV does not load.
        SourceError: The source cannot be read.
        OutputError: A file cannot be written, or the recording would overwrite the source.
    """
    settings = settings or CameraSettings()
    load_opencv()  # told here, not as a display that does not work
    if settings.record is not None and not isinstance(source, int) and os.path.isfile(source):
        check_not_source(settings.record, Path(source))
    window = settings.window and _display_works(say)
    seen = _Seen()
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(
            predictor.stream(
                source,
                mode=settings.mode,
                options=settings.options,
                min_score=settings.min_score,
                iou_threshold=settings.iou_threshold,
            )
        )
        view = _View(stream, settings, window, stack, say)
        try:
            for result in stream:
                seen.add(result)
                on_result(result)
                if not view.show(result) or seen.frames == settings.max_frames:
                    break
        except KeyboardInterrupt:
            say("interrupted; recordings are complete up to here")
    return seen.summary()


class _Seen:
    def __init__(self) -> None:
        self.frames = self._objects = self._dropped = 0
        self._ages_ms: list[float] = []
        self._started_s = time.monotonic()

    def add(self, result: StreamResult) -> None:
        self.frames += 1
        self._objects += len(result.detections)
        self._dropped = result.dropped
        # Enough for a median, and no list that grows for days.
        if len(self._ages_ms) < 10_000:
            self._ages_ms.append(result.frame_age_ms)

    def summary(self) -> CameraSummary:
        return CameraSummary(
            frames=self.frames,
            dropped=self._dropped,
            seconds=time.monotonic() - self._started_s,
            objects=self._objects,
            median_age_ms=float(np.median(self._ages_ms)) if self._ages_ms else 0.0,
        )


class _View:
    """One result after the other, to wherever it is wanted."""

    def __init__(
        self,
        stream: Stream,
        settings: CameraSettings,
        window: bool,
        stack: contextlib.ExitStack,
        say: Say,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._window = window
        self._stack = stack
        self._say = say
        self._overlay = Overlay()
        self._recorder: VideoRecorder | None = None
        self._log = (
            stack.enter_context(DetectionLog(settings.log)) if settings.log is not None else None
        )
        if window:
            stack.callback(_close_windows)

    def show(self, result: StreamResult) -> bool:
        """Returns False when the user wants to leave."""
        if self._log is not None:
            self._log.write(result)
        if not self._window and self._settings.record is None:
            return True
        picture_bgr = self._overlay.draw(result)
        if self._settings.record is not None:
            self._record(self._settings.record, picture_bgr, result.captured_s)
        return self._on_screen(picture_bgr) if self._window else True

    def _record(self, path: Path, picture_bgr: NDArray[np.uint8], captured_s: float) -> None:
        if self._recorder is None:
            # The source knows its rate once it has given a frame.
            fps = self._stream.sources[0].fps or 25.0
            self._recorder = self._stack.enter_context(VideoRecorder(path, fps))
        # Frames that latency mode skipped are missing: the clock says for how long one is held.
        live = self._stream.mode is StreamMode.LATENCY
        self._recorder.write(picture_bgr, at_s=captured_s if live else None)

    def _on_screen(self, picture_bgr: NDArray[np.uint8]) -> bool:
        import cv2

        cv2.imshow(_TITLE, picture_bgr)
        key = cv2.waitKey(1) & 0xFF
        if key == ord("s"):
            self._say(f"saved {save_snapshot(self._settings.snapshots, picture_bgr)}")
        closed = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
        return key not in (ord("q"), 27) and not closed


def _display_works(say: Say) -> bool:
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if sys.platform.startswith("linux") and not display:
        say("no display here (DISPLAY is not set): running without a window")
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY_WINDOW], capture_output=True, timeout=30, check=False
        )
        works, told = done.returncode == 0, done.stderr
    except (OSError, subprocess.TimeoutExpired):
        works, told = False, b""
    if not works:
        why = f"the display {display} does not answer"
        if b"not implemented" in told:
            why = (
                "the headless package has none; pip uninstall opencv-python-headless, then "
                "pip install opencv-python"
            )
        say(f"OpenCV cannot open a window here: running without one ({why})")
    return works


def _close_windows() -> None:
    import cv2

    cv2.destroyAllWindows()
