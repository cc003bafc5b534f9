"""Files that are not checkpoints but are often found under a checkpoint's name."""

from __future__ import annotations

from edgeyolo.checkpoints.records import RefusedError

_SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights; run: git lfs pull"),
    (b"\x89HDF", "an HDF5 file (Keras), not a torch checkpoint"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program or shared library"),
    (b"\x93NUMPY", "a numpy array, not a torch checkpoint"),
)


def check_not_foreign(head: bytes, file_bytes: int) -> None:
    """Raise for what is certainly another kind of file.

    Args:
        head: The first 1024 bytes or more.
        file_bytes: Size of the whole file, for the message.

    Raises:
        RefusedError: Names the kind and the size.
    """
    size = f"it has {file_bytes:,} bytes"
    if not file_bytes:
        raise RefusedError("it is empty (0 bytes); download or copy it again")
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            raise RefusedError(f"it is {kind} ({size})")
    if head[4:8] == b"TFL3":
        raise RefusedError(f"it is a TFLite model, not a checkpoint ({size})")
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        raise RefusedError(f"it is an ONNX model, not a checkpoint ({size})")
    if head[8:10] == b'{"' and head[6:8] == b"\0\0":
        raise RefusedError(f"it is a safetensors file; only torch checkpoints are read ({size})")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise RefusedError(
            f"it is a web page or XML, probably an error page saved in place of the file ({size})"
        )
    if not any(head):
        raise RefusedError(f"it begins with zeros only, the copy was not finished ({size})")
