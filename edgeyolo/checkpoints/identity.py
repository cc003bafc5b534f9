"""What network the tensors of a file are, with what only a pickled model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from edgeyolo.checkpoints.containers import Stored
from edgeyolo.checkpoints.contents import Contents
from edgeyolo.checkpoints.records import RefusedError
from edgeyolo.checkpoints.tensors import to_tensor
from edgeyolo.errors import CheckpointError
from edgeyolo.models.architecture import Activation, Architecture
from edgeyolo.models.identify import identify, with_stored_anchors
from edgeyolo.models.zoo import strides_of as built_strides

_ACTIVATIONS = {
    "SiLU": Activation.SILU,
    "ReLU": Activation.RELU,
    "LeakyReLU": Activation.LEAKY_RELU,
}
_LEAKY_SLOPE = 0.1


def architecture_of(
    state: Mapping[str, Tensor], contents: Contents, written: Architecture | None
) -> Architecture:
    """The architecture whose state dict *state* is.

    Args:
        state: Official keys.
        contents: What a pickled model says about activation.
        written: What one of our own checkpoints says; the tensors must agree.

    Raises:
        RefusedError: The tensors belong to no network of either family, or contradict what
            the file says.
    """
    try:
        found = identify({key: tuple(value.shape) for key, value in state.items()})
    except CheckpointError as error:
        raise RefusedError(str(error)) from error
    found = with_stored_anchors(found, state)
    if written is None:
        activation = _activation(contents)
        return found if activation is None else replace(found, activation=activation)
    # Activation leaves no trace in the tensors; everything else does.
    found = replace(found, activation=written.activation)
    if found.name != written.name or found.num_classes != written.num_classes:
        raise RefusedError(
            f"it says that it is {written.name} with {written.num_classes} classes, "
            f"its tensors are {found.name} with {found.num_classes}"
        )
    return found


def _activation(contents: Contents) -> Activation | None:
    if not contents.activations:
        return None
    names = sorted(contents.activations)
    if len(names) > 1 or names[0] not in _ACTIVATIONS:
        raise RefusedError(
            f"its model has the activations {', '.join(names)}; "
            f"one of {', '.join(_ACTIVATIONS)} throughout is supported"
        )
    activation = _ACTIVATIONS[names[0]]
    slope = contents.negative_slope
    if activation is Activation.LEAKY_RELU and slope is not None and slope != _LEAKY_SLOPE:
        raise RefusedError(f"its LeakyReLU has the slope {slope}; {_LEAKY_SLOPE} is supported")
    return activation


def strides_of(stored: Stored, contents: Contents, architecture: Architecture) -> tuple[int, ...]:
    """Input pixels per cell of every level.

    Raises:
        RefusedError: A pickled model says other strides than its layers have.
    """
    strides = built_strides(architecture)
    if contents.strides is not None:
        said = tuple(to_tensor(stored, contents.strides).flatten().tolist())
        if said != strides:
            raise RefusedError(f"it says that its strides are {said}, its layers have {strides}")
    return strides
