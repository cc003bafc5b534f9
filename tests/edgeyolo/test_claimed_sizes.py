"""Pictures that claim more than they hold are refused before anything is allocated."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from edgeyolo.errors import SourceError
from edgeyolo.picture_sizes import check_claimed_size
from edgeyolo.pictures import decode_picture
from edgeyolo.sources import open_source
from edgeyolo.video_headers import check_video
from tests.hardening import seeds


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    ) + bytes(100)  # fmt: skip


def tiff(width: int, height: int) -> bytes:
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, v) for tag, v in ((256, width), (257, height))
    )
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(40)


def ppm(width: int, height: int) -> bytes:
    return b"P6\n# comment\n%d %d\n255\n" % (width, height) + bytes(100)


@pytest.mark.parametrize("make", [png, bmp, tiff, ppm])
@pytest.mark.parametrize("wh", [(60_000, 60_000), (20_000, 10_000), (0, 7)])
def test_a_small_file_that_claims_a_huge_picture_is_refused(make, wh: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SourceError, match=r"bomb .*(claims|is not a picture)"):
        decode_picture(make(*wh), "bomb")


@pytest.mark.parametrize("suffix", sorted(seeds.pictures()))
def test_true_sizes_pass_in_every_format(suffix: str) -> None:
    for content in seeds.pictures()[suffix]:
        check_claimed_size(content)
        assert sorted(decode_picture(content, "sound").shape) == [3, 48, 64]


def test_formats_that_hardly_anybody_needs_are_not_decoded() -> None:
    with pytest.raises(SourceError, match="none of JPEG, PNG"):
        decode_picture(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\0\0\0\0", "sun.jpg")


def test_videos_of_known_containers_pass(tmp_path: Path) -> None:
    for suffix, contents in seeds.videos(tmp_path).items():
        for content in contents:
            path = tmp_path / f"film{suffix}"
            path.write_bytes(content)
            check_video(path)
            frame = open_source(path).read()
            assert frame is not None
            assert frame.bgr.shape == (48, 64, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"text\n" * 99,
    ],
)
def test_playlists_and_text_are_no_videos(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not a video that OpenCV can read"):
        open_source(path).read()
