"""From a checkpoint file to a network ready for inference, and the spec that goes with it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from edgeyolo.checkpoints.names import read_names
from edgeyolo.checkpoints.reader import Checkpoint, read_checkpoint
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.errors import CheckpointError, UnsupportedError
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Activation
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import VARIANTS, build_architecture
from edgeyolo.spec import ModelSpec, Preprocess
from edgeyolo.weights_catalog import license_of


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network with weights.

    Attributes:
        model: On the CPU, in eval mode, in the form the file has.
        spec: Names, strides, anchors, preprocessing.
        checkpoint: Where both come from.
    """

    model: Detector
    spec: ModelSpec
    checkpoint: Checkpoint


def load_model(
    path: Path | str,
    *,
    names_file: Path | None = None,
    known_names: tuple[str, ...] | None = None,
    input_hw: tuple[int, int] | None = None,
    legacy: bool = False,
    activation: Activation | None = None,
) -> LoadedModel:
    """Read a checkpoint and build its network.

    Args:
        path: See :func:`~edgeyolo.checkpoints.reader.read_checkpoint`.
        names_file: Class names, see :func:`~edgeyolo.checkpoints.names.read_names`; needed
            where the file has none and the classes are not the 80 of COCO.
        known_names: Class names for a file that has none, e.g. those of its artifact.
        input_hw: Height and width in pixels; the published size of the variant where ``None``.
        legacy: The weights are of YOLOX's first release (0.1.0), which wants RGB pictures
            normalised as for ImageNet. The tensors do not tell.
        activation: What the network was trained with, for a file that does not tell; the
            published one where ``None``.

    Raises:
        CheckpointError: The file cannot be used, tells another activation, or its class names are
            unknown.
        DatasetError: *names_file* cannot be read.
        UnsupportedError: *legacy* for a family that has no legacy form.
        ValueError: *input_hw* does not fit the network.
    """
    checkpoint = _with_activation(read_checkpoint(path), activation)
    names = _class_names(checkpoint, names_file, known_names)
    model = build_architecture(checkpoint.architecture)
    _load_state(model, checkpoint)
    model.eval()
    spec = ModelSpec(
        family=checkpoint.family,
        variant=checkpoint.variant,
        class_names=names,
        strides=checkpoint.strides,
        anchors_px=checkpoint.anchors_px,
        preprocess=_preprocess(checkpoint, input_hw, legacy=legacy),
        license=checkpoint.spec.license if checkpoint.spec else license_of(checkpoint.sha256),
    )
    return LoadedModel(model, spec, checkpoint)


def _with_activation(checkpoint: Checkpoint, activation: Activation | None) -> Checkpoint:
    if activation is None:
        return checkpoint
    if checkpoint.activation_told and activation is not checkpoint.activation:
        raise CheckpointError(
            f"{checkpoint.path} tells that its activation is {checkpoint.activation}, not "
            f"{activation}; leave --activation out"
        )
    architecture = replace(checkpoint.architecture, activation=activation)
    return replace(checkpoint, architecture=architecture)


def _class_names(
    checkpoint: Checkpoint, names_file: Path | None, known_names: tuple[str, ...] | None
) -> tuple[str, ...]:
    if names_file is not None:
        names = read_names(names_file)
        if len(names) != checkpoint.num_classes:
            raise CheckpointError(
                f"{names_file} names {len(names)} classes, "
                f"{checkpoint.path} has {checkpoint.num_classes}"
            )
        return names
    if checkpoint.class_names is not None:
        return checkpoint.class_names
    if known_names is not None and len(known_names) == checkpoint.num_classes:
        return known_names
    if checkpoint.num_classes == len(COCO_NAMES):
        return COCO_NAMES
    if known_names is not None:
        raise CheckpointError(
            f"{checkpoint.path} has {checkpoint.num_classes} classes, the artifact "
            f"{len(known_names)}: it was not made from this checkpoint"
        )
    raise CheckpointError(
        f"{checkpoint.path} has {checkpoint.num_classes} classes and does not say their names; "
        "give them with --names FILE: a text file with one name a line, a data-set YAML with "
        "'names', or COCO annotations (JSON)"
    )


def _load_state(model: Detector, checkpoint: Checkpoint) -> None:
    expected: dict[str, Tensor] = model.state_dict()
    state = OrderedDict(checkpoint.state)
    # Files of torch before 0.4.1 and re-saved ones lack the counters, which inference ignores.
    for key in expected.keys() - state.keys():
        if key.endswith(".num_batches_tracked"):
            state[key] = expected[key]
    problems = [
        *(f"{key} is missing" for key in expected if key not in state),
        *(f"{key} is unexpected" for key in state if key not in expected),
        *(
            f"{key} has shape {tuple(state[key].shape)}, expected {tuple(value.shape)}"
            for key, value in expected.items()
            if key in state and state[key].shape != value.shape
        ),
    ]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{checkpoint.path} does not fit {checkpoint.architecture.name} with "
            f"{checkpoint.num_classes} classes: {'; '.join(problems[:3])}{more}"
        )
    model.load_state_dict(state)


def _preprocess(
    checkpoint: Checkpoint, input_hw: tuple[int, int] | None, *, legacy: bool
) -> Preprocess:
    if checkpoint.spec is not None and not legacy:
        own = checkpoint.spec.preprocess
        return own if input_hw is None else replace(own, input_hw=input_hw)
    input_hw = input_hw or _published_input_hw(checkpoint)
    rules = FAMILIES[checkpoint.family]
    if not legacy:
        return rules.preprocess(input_hw)
    first = rules.legacy_preprocess(input_hw)
    if first is None:
        raise UnsupportedError(
            f"{checkpoint.path} is {checkpoint.architecture.name}; only YOLOX has legacy weights"
        )
    return first


def _published_input_hw(checkpoint: Checkpoint) -> tuple[int, int]:
    """Of the variant, or for other widths and depths of the one with the same plan."""
    architecture = checkpoint.architecture
    for name in (architecture.name, f"{architecture.family}-{architecture.graph}"):
        if name in VARIANTS:
            return VARIANTS[name].input_hw
    return (640, 640)
