"""Is this file a video of a known container? Asked before a decoder sees it.

FFmpeg guesses formats from content, and some three hundred of them are not videos: text that it
would print, playlists that name other files, raw data of any size.
"""

from __future__ import annotations

from pathlib import Path

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
