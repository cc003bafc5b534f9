"""Damaged pictures and videos."""

from __future__ import annotations

import random

import numpy as np

from edgeyolo.calibration.pictures import find_pictures
from edgeyolo.data.pictures import picture_header
from edgeyolo.pictures import read_picture
from edgeyolo.prediction import predict_source
from edgeyolo.predictor import load
from edgeyolo.sources import open_source
from tests.hardening import model_seeds, seeds
from tests.hardening.mutations import BLIND, mutate, png_chunk
from tests.hardening.target import Target, command_line


class Pictures(Target):
    """JPEG, PNG, BMP, WebP, TIFF, PPM."""

    name = "pictures"

    def prepare(self) -> None:
        self.seeds = seeds.pictures()

    def write(self, rng: random.Random) -> None:
        suffix = rng.choice(sorted(self.seeds))
        ways = (*BLIND, png_chunk, png_chunk, png_chunk) if suffix == ".png" else BLIND
        content = mutate(rng, rng.choice(self.seeds[suffix]), ways)
        if rng.random() < 0.1:  # the name says something else
            suffix = rng.choice(sorted(self.seeds))
        self.path = self.input / f"picture{suffix}"
        self.path.write_bytes(content)

    def read(self, rng: random.Random) -> None:
        if rng.random() < 0.3:
            header = picture_header(self.path)
            assert all(side > 0 for side in header.hw)
            return
        frame = read_picture(self.path)
        assert frame.dtype == np.uint8
        assert frame.shape[2:] == (3,)


class Videos(Target):
    """AVI, MP4, Matroska."""

    name = "video"

    def prepare(self) -> None:
        self.seeds = seeds.videos(self.folder)
        (self.folder / "model.onnx").write_bytes(model_seeds.onnx_files()[0])
        self.predictor = load(self.folder / "model.onnx", device="cpu", threads=1)

    def write(self, rng: random.Random) -> None:
        suffix = rng.choice(sorted(self.seeds))
        self.path = self.input / f"video{suffix}"
        self.path.write_bytes(mutate(rng, rng.choice(self.seeds[suffix]), BLIND))

    def read(self, rng: random.Random) -> None:
        way = rng.randrange(4)
        if way == 0:
            for one in find_pictures(self.path)[:4]:
                one.read()
        elif way == 1:
            for frame in predict_source(self.predictor, self.path):
                assert frame.frame_hw[0] > 0
        elif way == 2:
            command_line("predict", self.folder / "model.onnx", self.path, "--json")
        else:
            source = open_source(self.path)
            while source.read() is not None:
                pass
            source.close()
