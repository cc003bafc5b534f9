"""The tar container of torch 0.1 is read as torch itself reads it."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import torch

from edgeyolo.checkpoints.containers import open_stored
from edgeyolo.checkpoints.contents import find_contents
from edgeyolo.checkpoints.tensors import to_state

STORAGES = {
    torch.float32: torch.FloatStorage,
    torch.float16: torch.HalfStorage,
    torch.int64: torch.LongStorage,
}
TENSORS = {
    torch.float32: torch.FloatTensor,
    torch.float16: torch.HalfTensor,
    torch.int64: torch.LongTensor,
}


class _Referring(pickle.Pickler):
    """Writes tensors as persistent ids, as torch 0.1 did."""

    def __init__(self, file: io.BytesIO, ids: dict[int, int]) -> None:
        super().__init__(file, 2)
        self._ids = ids

    def persistent_id(self, value: Any) -> int | None:
        return self._ids.get(id(value))


def write_tar(path: Path, state: dict[str, torch.Tensor]) -> None:
    """A file in the layout that torch 0.1 wrote: one storage per tensor, a view for the last."""
    storages, tensors, root = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(len(state), storages, 2)
    pickle.dump(len(state), tensors, 2)
    views, ids = [], {}
    for number, (key, value) in enumerate(state.items()):
        flat = value.flatten().contiguous()
        pickle.dump((number, "cpu", STORAGES[value.dtype]), storages, 2)
        storages.write(struct.pack("<q", flat.numel()) + flat.numpy().tobytes())
        source = number
        if key == "view.weight":
            source = 900
            views.append((source, number, 2, flat.numel() - 2))
            value = flat[2:].view(2, -1).t()
            state[key] = value
        pickle.dump((100 + number, source, TENSORS[value.dtype]), tensors, 2)
        sizes = (*value.shape, *value.stride(), 0)
        tensors.write(struct.pack(f"<i4x{len(sizes)}q", value.dim(), *sizes))
        ids[id(value)] = 100 + number
    pickle.dump(views, storages, 2)
    _Referring(root, ids).dump(state)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        members = {"sys_info": io.BytesIO(pickle.dumps({}, 2)), "pickle": root}
        for name, content in {**members, "tensors": tensors, "storages": storages}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.getvalue())
            archive.addfile(info, io.BytesIO(content.getvalue()))


def test_a_tar_file_gives_what_torch_gives(tmp_path: Path) -> None:
    torch.manual_seed(2)
    state = {
        "a.weight": torch.randn(3, 4),
        "b.weight": torch.randn(5).half(),
        "b.count": torch.tensor([7, 8]),
        "view.weight": torch.randn(12),
    }
    path = tmp_path / "old.pth"
    write_tar(path, state)
    theirs = torch.load(path, weights_only=False)
    with open_stored(path) as stored:
        assert stored.container == "tar"
        ours = to_state(stored, find_contents(stored.root).tensors)
    assert list(ours) == list(theirs) == list(state)
    for key, value in state.items():
        expected = value.float() if value.is_floating_point() else value
        assert torch.equal(ours[key], expected), key
        assert torch.equal(theirs[key].to(expected.dtype), expected), key
