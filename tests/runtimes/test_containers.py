"""Contracts are found without vendor libraries; damage is told, never guessed around."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgeyolo.errors import ArtifactError
from edgeyolo.runtimes.containers import onnx_metadata, openvino_contract


@pytest.fixture
def small_onnx(tmp_path: Path) -> Path:
    node = helper.make_node("Relu", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    proto = helper.make_model(helper.make_graph([node], "g", value[:1], value[1:]))
    for key, text in {"a": "1", "ключ": "значение " * 1000, "": ""}.items():
        proto.metadata_props.add(key=key, value=text)
    onnx.save(proto, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_metadata_is_read_as_onnx_reads_it(small_onnx: Path) -> None:
    expected = {item.key: item.value for item in onnx.load(small_onnx).metadata_props}
    assert onnx_metadata(small_onnx) == expected


def test_a_truncated_file_is_refused_or_read_up_to_a_field_border(small_onnx: Path) -> None:
    whole = small_onnx.read_bytes()
    full = onnx_metadata(small_onnx)
    refused = 0
    for size in range(1, len(whole), 97):
        small_onnx.write_bytes(whole[:size])
        try:
            assert onnx_metadata(small_onnx).items() <= full.items()
        except ArtifactError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 64, b"<html>not found</html>"])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError):
        onnx_metadata(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<net",
        "<html></html>",
        '<!DOCTYPE net [<!ENTITY a "aaaa">]><net>&a;</net>',
    ],
)
def test_what_is_no_ir_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.xml"
    path.write_text(text)
    with pytest.raises(ArtifactError):
        openvino_contract(path)


def test_an_ir_without_contract_has_none(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text('<?xml version="1.0"?><net version="11"><rt_info/></net>')
    assert openvino_contract(path) is None


def test_damage_inside_the_metadata_is_one_line(small_onnx: Path) -> None:
    """An entry that ends in the middle of a field, and one whose text is not UTF-8."""
    for entry in (b"\x0a\x7fkey", b"\x0a\x02\xff\xfe"):
        small_onnx.write_bytes(b"\x72" + bytes([len(entry)]) + entry)
        with pytest.raises(ArtifactError, match="not a whole ONNX file"):
            onnx_metadata(small_onnx)
