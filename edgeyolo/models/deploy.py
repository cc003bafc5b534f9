"""From a trained network to the one that is exported: the same outputs, nothing left to fold.

:func:`deploy` works on a copy and proves on a random picture that the copy computes what the
original does. It goes from state dict to state dict; the network itself is then built in its
export form, so no module is ever patched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgeyolo.errors import ParityError
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.export_state import exported_state
from edgeyolo.models.zoo import build_architecture

MAX_DEVIATION = 5e-4
"""Largest accepted difference of a logit, relative to the spread of its level (at least 1).

A logit is a sum of terms as large as that spread, taken in another order after folding. Over all
13 variants with synthetic weights and up to 1280 pixels the largest is 1e-4 (YOLOX-nano)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What :func:`deploy` did, and the proof that it changed nothing.

    Attributes:
        source_form: Form of the network that was given.
        folded_batch_norms: Batch norms folded into their convolution.
        reparameterized_blocks: RepConv blocks turned into one 3x3 convolution.
        folded_implicit_heads: Prediction convolutions that took in their implicit terms.
        dropped_auxiliary_heads: Auxiliary prediction convolutions left behind.
        merged_stem: Whether space-to-depth and its convolution became one 6x6 convolution.
        compared_hw: Size of the random picture, in pixels.
        max_abs_difference: Over all logits of that picture.
        max_relative_difference: The same, relative to the standard deviation of the level's
            logits where that is above 1.
    """

    source_form: Form
    folded_batch_norms: int
    reparameterized_blocks: int
    folded_implicit_heads: int
    dropped_auxiliary_heads: int
    merged_stem: bool
    compared_hw: tuple[int, int]
    max_abs_difference: float
    max_relative_difference: float


def deploy(model: Detector) -> tuple[Detector, DeployReport]:
    """A copy of *model* in its export form, in eval mode, without gradients.

    Harmless on a network that is in that form already. *model* stays as it is, but is put into
    eval mode for the comparison and back.

    Raises:
        ParityError: The copy computes something else (weights that are not finite, or so large
            that float32 cannot hold them).
    """
    source = model.architecture
    state = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    exported = replace(source, form=Form.EXPORT, folded=True, reparameterized=True)
    converted = state if source.form is Form.EXPORT else exported_state(state, source)
    with torch.device("meta"):
        deployed = build_architecture(exported).eval()
    deployed.load_state_dict(
        {key: tensor.float().clone() for key, tensor in converted.items()}, assign=True
    )
    deployed.requires_grad_(False)
    height_width, absolute, relative = _compare(model, deployed)
    return deployed, DeployReport(
        source_form=source.form,
        folded_batch_norms=_count(state, r"bn\.running_mean|rbr_\w+(\.1)?\.running_mean"),
        reparameterized_blocks=_count(state, r"rbr_dense\.0\.weight"),
        folded_implicit_heads=0 if source.folded else _count(state, r"im\.\d+\.implicit"),
        dropped_auxiliary_heads=_count(state, r"m2\.\d+\.weight"),
        merged_stem=source.form is not Form.EXPORT and _starts_with_space_to_depth(state),
        compared_hw=height_width,
        max_abs_difference=absolute,
        max_relative_difference=relative,
    )


def _compare(model: Detector, deployed: Detector) -> tuple[tuple[int, int], float, float]:
    """Size of the compared picture, largest absolute and largest relative difference."""
    side = 2 * model.input_multiple
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    picture = noise * (255 * FAMILIES[model.family].preprocess((side, side)).scale)
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        expected = [level.cpu() for level in model(picture.to(device))]
        ours = deployed(picture)
    for module, training in modes.items():
        module.training = training
    absolute = relative = 0.0
    for a, b in zip(ours, expected, strict=True):
        difference = (a - b).abs().max().item()
        spread = max(1.0, b.std().item())
        if not difference <= MAX_DEVIATION * spread:  # not-a-number must not pass
            raise ParityError(
                f"the folded {model.architecture.name} deviates from the original by "
                f"{difference:.3g} (logits up to {b.abs().max().item():.3g}); "
                f"the weights are not finite or out of float32's range"
            )
        absolute, relative = max(absolute, difference), max(relative, difference / spread)
    return (side, side), absolute, relative


def _count(state: Mapping[str, Tensor], ending: str) -> int:
    pattern = re.compile(rf"(^|.*\.)({ending})$")
    return sum(1 for key in state if pattern.match(key))


def _starts_with_space_to_depth(state: Mapping[str, Tensor]) -> bool:
    first = next(tensor for key, tensor in state.items() if key.endswith("conv.weight"))
    return first.shape[1] == 12
