"""``edgeyolo build``: finish a TensorRT artifact on the machine that will run it.

Needs what a device has: numpy and TensorRT. The networks inside the artifact were made on a
workstation; an engine that is already there is replaced.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeyolo import contract as contracts
from edgeyolo.artifact import Artifact, load_artifact, sha256_of, write_contract
from edgeyolo.atomic import write_bytes
from edgeyolo.errors import ArtifactError, BackendError, UnsupportedError
from edgeyolo.exporters.tensorrt_builder import (
    BatchRange,
    BuildOptions,
    BuiltEngine,
    build_engine,
)
from edgeyolo.exporters.tensorrt_flags import Typing, choose_flags
from edgeyolo.exporters.tensorrt_memory import MemoryPlan, available_system_mib, plan_memory
from edgeyolo.exporters.tensorrt_recipe import RECIPE_FILE, BuildRecipe, read_recipe
from edgeyolo.exporters.tensorrt_timings import keep_timings
from edgeyolo.runtimes.cuda_driver import Cuda
from edgeyolo.runtimes.tensorrt_modules import TensorRt, pick_tensorrt
from edgeyolo.runtimes.tensorrt_target import this_target
from edgeyolo.spec import Backend

_SUFFIX = ".engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        folder: Artifact of ``edgeyolo export --to tensorrt``.
        module: ``"tensorrt"`` or ``"tensorrt_rtx"``; the first that is installed where ``None``.
        gpu: Number of the GPU, which then must be there; ``None`` for the first, and for TensorRT
            for RTX on a machine without one.
        batch: Replaces the recipe's range, where the batch is dynamic.
        workspace_mib: Most scratch memory a layer may use; decided from what is free if ``None``.
        optimization_level: 0 to 5; TensorRT's default (3) where ``None``.
        dla_core: Put what can run there on this DLA.
        timing_cache: Folder of kernel timings of earlier builds; none where ``None``.
    """

    folder: Path
    module: str | None = None
    gpu: int | None = None
    batch: BatchRange | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    dla_core: int | None = None
    timing_cache: Path | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished artifact.

    Attributes:
        memory: What was allowed; ``None`` where the machine does not say what is free.
    """

    artifact: Artifact
    engine: BuiltEngine
    memory: MemoryPlan | None


def build(request: BuildRequest, progress: Callable[[str], None] = lambda _: None) -> BuildResult:
    """Build the engine of an artifact, in place.

    The contract is replaced last: whatever fails, the artifact stays as it was.

    Raises:
        ArtifactError: Not an artifact of TensorRT, or its networks were altered.
        MissingPackageError: TensorRT is not installed.
        BackendError: No GPU, not enough memory, or TensorRT refuses the network.
        UnsupportedError: This version or machine cannot do it.
    """
    artifact = load_artifact(request.folder, check_digests=False)
    recipe = _checked_recipe(artifact)
    trt = pick_tensorrt(request.module)
    cuda = _gpu(trt, request.gpu, progress)
    try:
        typing = choose_flags(
            trt, artifact.contract.precision, dla=request.dla_core is not None
        ).typing
        network = (request.folder / recipe.network(typing, is_rtx=trt.is_rtx)).read_bytes()
        memory = _memory(cuda, len(network), request.workspace_mib)
        target = this_target(trt, cuda.gpu if cuda else None)
        options = BuildOptions(
            precision=artifact.contract.precision,
            batch=(request.batch or recipe.batch) if recipe.batch else request.batch,
            workspace_mib=memory.workspace_mib if memory else request.workspace_mib,
            optimization_level=request.optimization_level,
            timing_cache=_timings(request.timing_cache, target),
            dla_core=request.dla_core,
            compute_capability=target.compute_capability if trt.is_rtx else None,
            float32_layers=recipe.float32_layers if typing is Typing.WEAK else (),
        )
        progress(f"building with {trt} for {_served(target)}")
        engine = build_engine(trt, network, options)
    finally:
        if cuda is not None:
            cuda.close()
    finished = _finish(artifact, engine, target)
    if options.timing_cache is not None and engine.timings:
        problem = keep_timings(options.timing_cache, engine.timings)
        if problem:
            engine = dataclasses.replace(engine, warnings=(*engine.warnings, problem))
    return BuildResult(finished, engine, memory)


def _checked_recipe(artifact: Artifact) -> BuildRecipe:
    """The recipe, after the files that it names were compared with their digests.

    An engine that is there already is not looked at: it may be the damaged one.
    """
    contract = artifact.contract
    if contract.backend is not Backend.TENSORRT:
        raise UnsupportedError(
            f"{artifact.folder} is an artifact for {contract.backend}, which is not built on the "
            "device; it can be used as it is"
        )
    _check_digest(artifact, RECIPE_FILE)
    recipe = read_recipe(artifact.folder)
    for name in recipe.networks:
        _check_digest(artifact, name)
    return recipe


def _check_digest(artifact: Artifact, name: str) -> None:
    path = artifact.folder / name
    expected = artifact.contract.files.get(name)
    if expected is None or path.is_symlink() or not path.is_file():
        raise ArtifactError(
            f"{artifact.folder} lacks {name}, from which the engine is built; export it again "
            "with: edgeyolo export --to tensorrt"
        )
    if sha256_of(path) != expected:
        raise ArtifactError(f"{path} was altered since the export; export it again")


def _gpu(trt: TensorRt, index: int | None, progress: Callable[[str], None]) -> Cuda | None:
    """The GPU to build on. TensorRT for RTX builds without one, for those from Ampere on."""
    try:
        return Cuda(index or 0)
    except BackendError as error:
        if not trt.is_rtx:
            raise
        if index is not None:
            raise BackendError(
                f"{error}; leave out --gpu to build for every RTX GPU from Ampere on"
            ) from error
        progress(f"building without a GPU: {error}")
        return None


def _memory(cuda: Cuda | None, network_bytes: int, asked_mib: int | None) -> MemoryPlan | None:
    shared = cuda is None or cuda.gpu.shares_memory
    if shared:
        available = available_system_mib()
        if available is None:
            return None
    else:
        assert cuda is not None
        available, _ = cuda.free_and_total_mib()
    return plan_memory(
        available_mib=available, network_bytes=network_bytes, shared=shared, asked_mib=asked_mib
    )


def _served(target: contracts.BuildTarget) -> str:
    if target.gpu:
        return target.gpu
    return f"RTX GPUs of compute capability {target.compute_capability or '8.6 and later'}"


def _timings(folder: Path | None, target: contracts.BuildTarget) -> Path | None:
    if folder is None:
        return None
    gpu = f"{target.gpu}-{target.multiprocessors}" if target.gpu else "any"
    name = f"{target.module}-{target.version}-{gpu}.timings"
    return folder / name.replace(" ", "_").replace("/", "_")


def _finish(artifact: Artifact, engine: BuiltEngine, target: contracts.BuildTarget) -> Artifact:
    """Write the engine under a name of its own, then the contract, then drop the old engine."""
    digest = hashlib.sha256(engine.plan).hexdigest()
    old = artifact.contract
    name = f"model-{digest[:12]}{_SUFFIX}"
    write_bytes(artifact.folder / name, engine.plan)
    files = {n: d for n, d in old.files.items() if not n.endswith(_SUFFIX)} | {name: digest}
    tools = old.provenance.tools | {target.module: target.version}
    contract = dataclasses.replace(
        old,
        entry=name,
        files=files,
        build_target=target,
        provenance=dataclasses.replace(old.provenance, tools=tools),
        # Speed and accuracy were measured on another engine; parity holds for the network.
        measured=contracts.Measured(folding=old.measured.folding, parity=old.measured.parity),
    )
    write_contract(artifact.folder, contract)
    for stale in set(old.files) - set(files):
        (artifact.folder / stale).unlink(missing_ok=True)
    return Artifact(artifact.folder, contract)
