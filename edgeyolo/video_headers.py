"""Is this file a video of a known container, and whole? Asked before a decoder sees it.

FFmpeg guesses formats from content, and some three hundred of them are not videos: text that it
would print, playlists that name other files, raw data of any size.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from edgeyolo.errors import SourceError, one_line

# Bytes at the start of a file.
_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: .wmv
    b"\x00\x00\x01\xba",  # MPEG program stream: .mpg, .vob
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x00\x00\x00\x01",  # H.264 and H.265 as they come from an encoder
    b"\x00\x00\x01\x67",
    b"DKIF",  # IVF: VP8, VP9, AV1
    b"YUV4MPEG2",
    b"GIF8",
    b"\xff\xd8\xff",  # Motion JPEG without a container
)
# The second four bytes of MP4, MOV and 3GP.
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def check_video(path: Path) -> None:
    """Raise :class:`SourceError` where *path* is no video of a known container."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    if not (
        head.startswith(_STARTS)
        or head[4:8] in _ATOMS
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
        or _is_transport_stream(head)
    ):
        raise SourceError(
            f"{path} is not a video that OpenCV can read (known are MP4, MOV, AVI, Matroska, WebM, "
            "MPEG, FLV, WMV, OGV); convert it with ffmpeg"
        )


def _is_transport_stream(head: bytes) -> bool:
    """MPEG transport: a mark every 188 bytes, or every 192 behind a time stamp of four."""
    return any(
        len(head) > start + size and head[start] == head[start + size] == 0x47
        for start, size in ((0, 188), (4, 192))
    )


def is_cut_short(path: Path) -> bool:
    """Whether the file ends before its container says: AVI, MP4 and MOV, Matroska and WebM.

    Other containers, and recordings that were never finished (size unknown), say nothing.
    """
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if head.startswith(b"RIFF"):
                return _riff_end(file, end) > end
            if head[4:8] in _ATOMS:
                return _boxes_end(file, end) > end
            if head.startswith(b"\x1a\x45\xdf\xa3"):
                return _segment_end(file) > end
    except OSError as error:
        raise SourceError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    return False


def _riff_end(file: BinaryIO, end: int) -> int:
    """Where the last RIFF chunk ends; an AVI above 1 GB has several."""
    at = 0
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):
            break
        at += 8 + size
    return at


def _boxes_end(file: BinaryIO, end: int) -> int:
    """Where the last box of an MP4 or MOV ends."""
    at = 0
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:  # too long for 32 bits
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or not head[4:8].isalnum():
            break  # to the end of the file, or something else behind the boxes
        at += size
    return at


def _segment_end(file: BinaryIO) -> int:
    """Where Matroska's segment, which is all but a short header, ends; 0 where it does not say."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    size = _vint(file)
    return 0 if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """A length of EBML: leading zero bits count its bytes; all ones mean unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value
