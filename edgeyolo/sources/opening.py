"""Tells from what a user wrote which kind of source it is."""

from __future__ import annotations

import glob
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from edgeyolo.errors import SourceError, one_line
from edgeyolo.pictures import SUFFIXES, list_pictures
from edgeyolo.sources.capture import LiveCapture
from edgeyolo.sources.files import PictureFiles, VideoFile
from edgeyolo.sources.frame import FrameSource, SourceOptions
from edgeyolo.sources.pattern import Pattern
from edgeyolo.sources.redact import redact

_URL = re.compile(r"(rtsps?|https?|rtmps?|udp|tcp|rtp|srt)://", re.IGNORECASE)


def open_source(address: int | str | Path, options: SourceOptions | None = None) -> FrameSource:
    """A source of frames from what a user wrote.

    Args:
        address: One of

            * a camera: ``0``, ``"0"``, ``"/dev/video0"``
            * a stream: ``rtsp://``, ``http://`` (MJPEG, HLS), ``rtmp://``, ``udp://``, ...
            * a GStreamer pipeline: anything with ``" ! "``, ending in ``appsink``
            * a test pattern: ``"pattern:1280x720@30#100"``
            * a picture, a folder of pictures, a glob (``"shots/*.jpg"``), a ``.txt`` file with one
              picture a line, or a video file
        options: For cameras and streams.

    Returns:
        The source. Cameras and streams are opened by its first ``read``.

    Raises:
        SourceError: There is no such file, folder or match.
    """
    options = options or SourceOptions()
    if isinstance(address, int):
        if address < 0:
            raise SourceError(f"cameras are numbered from 0, got {address}")
        return LiveCapture(address, options)
    text = str(address)
    if text.isdecimal() and not os.path.exists(text):
        return LiveCapture(int(text), options)
    if " ! " in text or _URL.match(text) or text.startswith("/dev/video"):
        return LiveCapture(text, options)
    if text == "pattern" or text.startswith(("pattern:", "pattern@", "pattern#")):
        return Pattern(text)
    return _from_disk(text)


def connect(sources: Sequence[FrameSource]) -> None:
    """Connect network streams, all at the same time; only then is it known which are ``live``.

    Raises:
        SourceError: One is not there; all are closed then.
    """
    errors: list[BaseException] = []

    def attempt(stream: LiveCapture) -> None:
        try:
            stream.connect()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    # Threads even for one: Ctrl-C reaches a thread that waits, not one inside OpenCV.
    threads = [
        threading.Thread(target=attempt, args=(stream,), name="edgeyolo-connect", daemon=True)
        for stream in sources
        if isinstance(stream, LiveCapture)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
    except BaseException:
        for source in sources:
            source.close()
        raise


def _from_disk(text: str) -> FrameSource:
    path = Path(text)
    if os.path.isdir(path):
        return PictureFiles(text, list_pictures(path))
    if os.path.isfile(path):
        if path.suffix.lower() in SUFFIXES:
            return PictureFiles(path.name, [path])
        if path.suffix.lower() == ".txt":
            return PictureFiles(text, _listed(path))
        return VideoFile(path)
    if glob.has_magic(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        pictures = [match for match in matches if match.suffix.lower() in SUFFIXES]
        if not pictures:
            raise SourceError(f"no picture matches {redact(text)}")
        return PictureFiles(text, pictures)
    raise SourceError(
        f"{redact(text)} is no file, folder, camera (0, /dev/video0), stream (rtsp://, http://), "
        "GStreamer pipeline or pattern:"
    )


def _listed(path: Path) -> list[Path]:
    """Pictures named in a list file, one a line, relative to that file; ``#`` starts a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the list {path}: {one_line(error)}") from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise SourceError(f"the list {path} names no picture")
    return [path.parent / name for name in names]
