"""Picture files of every kind become BGR frames, and damaged ones an error."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeyolo.data.pictures import read_header
from edgeyolo.errors import DatasetError, SourceError
from edgeyolo.picture_headers import parsed_header
from edgeyolo.pictures import decode_picture, read_picture
from tests.edgeyolo.data.dataset_files import exif_rotated, textured, write_picture

FRAME = textured((40, 60))


def encoded(suffix: str, frame: NDArray[np.integer[Any]] = FRAME) -> bytes:
    done, content = cv2.imencode(suffix, frame)
    assert done
    return content.tobytes()


def png_rotated(png: bytes, orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"eXIf" + tiff
    chunk = struct.pack(">I", len(tiff)) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm"])
def test_every_format_decodes_and_its_header_tells_the_size(suffix: str) -> None:
    content = encoded(suffix)
    frame = decode_picture(content, "x")
    assert frame.shape == (40, 60, 3)
    assert np.abs(frame.astype(int) - FRAME).mean() < 6  # lossy formats
    header = parsed_header(content)
    assert header is None or header.hw == (40, 60)


def test_grey_sixteen_bit_and_transparent_pictures_become_bgr() -> None:
    grey = decode_picture(encoded(".png", FRAME[..., 1]), "x")
    np.testing.assert_array_equal(grey, np.repeat(FRAME[..., 1:2], 3, axis=2))
    deep = decode_picture(encoded(".png", FRAME.astype(np.uint16) * 257), "x")
    np.testing.assert_allclose(deep.astype(int), FRAME, atol=1)
    alpha = np.dstack((FRAME, np.full((40, 60), 7, np.uint8)))
    np.testing.assert_array_equal(decode_picture(encoded(".png", alpha), "x"), FRAME)


def test_cmyk_pictures_become_bgr() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(np.ascontiguousarray(FRAME[..., ::-1])).convert("CMYK").save(file, "JPEG")
    frame = decode_picture(file.getvalue(), "x")
    assert np.abs(frame.astype(int) - FRAME).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "rotate"), [(".jpg", exif_rotated), (".png", png_rotated)])
def test_exif_rotation_is_applied_and_told(suffix: str, rotate: object, orientation: int) -> None:
    assert callable(rotate)
    content = rotate(encoded(suffix), orientation)
    header = parsed_header(content)
    assert header is not None
    assert header.orientation == orientation
    assert header.stored_hw == (40, 60)
    assert decode_picture(content, "x").shape[:2] == header.hw
    assert decode_picture(content, "x", ignore_exif=True).shape[:2] == (40, 60)


def oriented(form: str, orientation: int, frame: NDArray[np.uint8]) -> bytes:
    """A WebP or TIFF file, lossless, with an EXIF orientation."""
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    picture = image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
    if form == "TIFF":
        picture.save(file, form, tiffinfo={0x0112: orientation})
    else:
        exif = image.Exif()
        exif[0x0112] = orientation
        picture.save(file, form, lossless=True, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_webp_and_tiff_are_rotated_as_a_png_is(form: str, orientation: int) -> None:
    """With every OpenCV: some leave WebP as it is, and none leaves TIFF."""
    content = oriented(form, orientation, FRAME)
    as_png = decode_picture(png_rotated(encoded(".png"), orientation), "x")
    np.testing.assert_array_equal(decode_picture(content, "x"), as_png)
    np.testing.assert_array_equal(decode_picture(content, "x", ignore_exif=True), FRAME)
    header = read_header(content, "x")
    assert (header.stored_hw, header.orientation) == ((40, 60), orientation)
    assert header.hw == as_png.shape[:2]


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_damage_to_the_orientation_is_no_other_error(form: str) -> None:
    content = oriented(form, 6, FRAME)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(content)
        for place in rng.integers(0, len(data), int(rng.integers(1, 8))).tolist():
            data[place] = int(rng.integers(256))
        with suppress(DatasetError):
            header = read_header(bytes(data[: int(rng.integers(8, len(data) + 1))]), "x")
            assert 1 <= header.orientation <= 8


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_that_was_cut_off_is_refused_wherever_it_ends(suffix: str) -> None:
    content = encoded(suffix)
    for length in range(8, len(content) - 4, max(len(content) // 60, 1)):
        with pytest.raises(SourceError):
            decode_picture(content[:length], "x")


def test_a_chunk_longer_than_its_file_is_refused_before_room_is_made_for_it() -> None:
    content = encoded(".png")
    start = content.index(b"IDAT") - 4
    gigabyte = struct.pack(">I", 1 << 30)
    with pytest.raises(SourceError, match="cut off"):
        decode_picture(content[:start] + gigabyte + content[start + 4 :], "x")


def test_a_thumbnail_inside_does_not_hide_the_cut() -> None:
    jpeg = encoded(".jpg")
    thumbnail = b"\xff\xe2" + struct.pack(">H", len(jpeg) + 2) + jpeg
    whole = jpeg[:2] + thumbnail + jpeg[2:]
    np.testing.assert_array_equal(decode_picture(whole, "x"), decode_picture(jpeg, "x"))
    with pytest.raises(SourceError, match="cut off"):
        decode_picture(whole[:-20], "x")


def test_bytes_behind_the_end_marker_are_allowed() -> None:
    # Some cameras append data; COCO has such files.
    np.testing.assert_array_equal(
        decode_picture(encoded(".jpg") + b"\0" * 100, "x"), decode_picture(encoded(".jpg"), "x")
    )


def test_any_path_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ordner mit leer ☃" / "日本.png"
    write_picture(path, FRAME)
    np.testing.assert_array_equal(read_picture(path), FRAME)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM"])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.jpg"):
        read_picture(tmp_path / "x.jpg")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*nothing\.png: No such file"):
        read_picture(tmp_path / "nothing.png")
