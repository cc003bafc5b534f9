"""Live sources through OpenCV: cameras, network streams, GStreamer pipelines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError, UnsupportedError, one_line
from edgeyolo.opencv import quiet_opencv
from edgeyolo.sources.frame import Frame, SourceOptions
from edgeyolo.sources.recorded import Recorded
from edgeyolo.sources.redact import redact

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 5.0


class LiveCapture:
    """A camera, stream or pipeline that is opened again when it is lost.

    Between attempts it waits 0.25 s, then twice as long each time, at most 5 s.

    Args:
        address: Camera index, device path, URL or GStreamer pipeline.
        options: Timeouts, and what to ask a camera for.
    """

    def __init__(self, address: int | str, options: SourceOptions) -> None:
        self.name = f"camera {address}" if isinstance(address, int) else redact(address)
        self.live = True
        self.fps: float | None = None
        self._address = address
        self._options = options
        self._network = isinstance(address, str) and "://" in address and " ! " not in address
        self._capture: Any = None
        self._recorded: Recorded | None = None
        self._held: Frame | None = None
        self._index = 0
        self._closed = threading.Event()
        self._reading = threading.Lock()

    def connect(self) -> None:
        """Wait for the first frame of a network stream; from then on ``live`` is certain.

        ``read`` gives that frame. Cameras and pipelines are live and not opened.

        Raises:
            SourceError: As for ``read``.
        """
        with self._reading:
            if self._network and self._index == 0:
                self._held = self._next()

    def read(self) -> Frame | None:
        """See :meth:`FrameSource.read`. Opens the source unless ``connect`` has."""
        with self._reading:
            held, self._held = self._held, None
            return self._next() if held is None or self._closed.is_set() else held

    def close(self) -> None:
        self._closed.set()
        # A reader that is at work releases the device itself: OpenCV's captures are not shared.
        if self._reading.acquire(blocking=False):
            self._release()
            self._reading.release()

    def _next(self) -> Frame | None:
        asked_s = time.monotonic()
        lost_s: float | None = None
        wait_s = _FIRST_WAIT_S
        while not self._closed.is_set():
            if self._capture is None:
                # The first picture has to be there in time, however many attempts that takes.
                spent_s = time.monotonic() - asked_s if self._index == 0 else 0.0
                self._capture = self._open(max(0.1, self._options.timeout_s - spent_s))
            picture = None if self._capture is None else self._grab()
            if picture is not None:
                self._index += 1
                return Frame(picture, self._index - 1, time.monotonic(), self.name)
            self._release()
            if self._recorded is not None and self._index > 0:
                self._check_complete(self._recorded)
                return None
            now_s = time.monotonic()
            lost_s = now_s if lost_s is None else lost_s
            self._give_up_after(now_s - (asked_s if self._index == 0 else lost_s))
            self._closed.wait(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        self._release()
        return None

    def _give_up_after(self, silent_s: float) -> None:
        options = self._options
        if self._index == 0:
            # A local device is there or not; a camera on the network may still be starting.
            if not self._network or silent_s >= options.timeout_s - _FIRST_WAIT_S:
                raise SourceError(self._never_there())
        elif silent_s >= options.reconnect_s:
            raise SourceError(
                f"{self.name} was lost after {self._index} frames and did not come back within "
                f"{options.reconnect_s:g} s"
            )

    def _check_complete(self, recorded: Recorded) -> None:
        shortfall = recorded.shortfall()
        if shortfall is not None and not self._closed.is_set():
            raise SourceError(
                f"{self.name} broke off {shortfall}: the server or the connection failed, or the "
                "file is cut short; download it and use the file"
            )

    def _never_there(self) -> str:
        if self._network:
            return (
                f"{self.name} gave no picture within {self._options.timeout_s:g} s; check address, "
                "credentials and network"
            )
        if isinstance(self._address, str) and " ! " in self._address:
            return f"the pipeline {self.name} gave no picture; try it with gst-launch-1.0"
        present = sorted(str(path) for path in Path("/dev").glob("video*"))
        return (
            f"{self.name} gave no picture; cameras here: {', '.join(present) or 'none'}; "
            "is it plugged in, free, and readable by this user?"
        )

    def _open(self, timeout_s: float) -> Any:
        import cv2

        with quiet_opencv(), self._without_address():
            if self._network:
                settings = self._network_settings(timeout_s)
                # No other backend may try: their error messages contain the address.
                capture = cv2.VideoCapture(str(self._address), cv2.CAP_FFMPEG, settings)
            elif isinstance(self._address, str) and " ! " in self._address:
                if not _has_gstreamer():
                    raise UnsupportedError(
                        "this OpenCV is built without GStreamer; use the OpenCV of the device's "
                        f"system for the pipeline {self.name}"
                    )
                capture = cv2.VideoCapture(self._address, cv2.CAP_GSTREAMER)
            else:
                capture = cv2.VideoCapture(self._address, cv2.CAP_V4L2)
            if not capture.isOpened():
                capture.release()
                return None
            # One buffered frame at most: what waits in a buffer is old.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            if not self._network and self._options.size_wh is not None:
                capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._options.size_wh[0])
                capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._options.size_wh[1])
            if not self._network and self._options.fps is not None:
                capture.set(cv2.CAP_PROP_FPS, self._options.fps)
            rate = capture.get(cv2.CAP_PROP_FPS)
            self.fps = rate if 0 < rate <= 240 else None
            # A recording on a web server has an end; a camera has none.
            declared = capture.get(cv2.CAP_PROP_FRAME_COUNT) if self._network else 0
            if declared > 0:
                self._recorded = Recorded(declared, self.fps or 25.0)
                self.live = False
        return capture

    def _network_settings(self, timeout_s: float) -> list[int]:
        import cv2

        settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(timeout_s * 1000)]
        settings += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._options.timeout_s * 1000)]
        # FFmpeg would take a thread a CPU. Each holds a frame back: with 4 of them MPEG-4 at 30
        # frames per second came 100 ms older than with one, with 16 it was 480 ms. OpenCV before
        # 4.8 cannot be told; behind http there are recordings, whose age does not matter.
        if hasattr(cv2, "CAP_PROP_N_THREADS") and not self._is_http():
            settings += [cv2.CAP_PROP_N_THREADS, self._options.decode_threads]
        return settings

    def _is_http(self) -> bool:
        return str(self._address).lower().startswith(("http://", "https://"))

    def _grab(self) -> NDArray[np.uint8] | None:
        import cv2

        with self._without_address():
            ok, picture = self._capture.read()
        if not ok or picture is None:
            return None
        if self._recorded is not None:
            self._recorded.add(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        return np.asarray(picture, np.uint8)

    @contextmanager
    def _without_address(self) -> Iterator[None]:
        import cv2

        try:
            yield
        except cv2.error as error:
            # Not "from error": OpenCV's own text may hold the address with its password.
            raise SourceError(f"{self.name}: {redact(one_line(error))}") from None

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _has_gstreamer() -> bool:
    import cv2

    for line in cv2.getBuildInformation().splitlines():
        if line.strip().startswith("GStreamer:"):
            return "YES" in line
    return False
