"""What every vendor runtime looks like from above."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import Contract
from edgeyolo.spec import MAX_THREADS, Backend, Precision, check_count


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: ``"auto"``, ``"cpu"``, ``"gpu"``, or a vendor's own name (``"GPU.1"``).
        threads: CPU threads for the network, at most ``MAX_THREADS``; ``None`` leaves the
            vendor's default.
        cache_dir: Where compiled models may be kept between processes; ``None`` for nowhere.
        cuda_graph: TensorRT replays each call as one CUDA graph; other runtimes have none.
    """

    device: str = "auto"
    threads: int | None = None
    cache_dir: Path | None = None
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_count("threads", self.threads, MAX_THREADS)


class Session(Protocol):
    """A model file that is loaded and ready; used from one thread at a time."""

    @property
    def device(self) -> str:
        """Where it really runs, e.g. ``"CPU"``."""

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once.

        Args:
            batch: (B, H, W, 3) or (B, 3, H, W), contiguous, dtype and layout as in the
                contract's input.

        Returns:
            Outputs as float32 in the order of the contract's output names. They belong to
            the session and hold until the next call.

        Raises:
            BackendError: The vendor library failed.
        """

    def close(self) -> None:
        """Free the model; using the session afterwards is an error."""


@runtime_checkable
class LimitedSession(Protocol):
    """A session whose file takes a range of batches that its contract does not tell."""

    @property
    def pictures_per_call(self) -> tuple[int, int]:
        """Least and most pictures that ``run`` takes."""


def pictures_per_call(session: Session, batch: int | None) -> tuple[int, int | None]:
    """Least and most pictures that ``run`` takes; ``None`` where any number will do.

    Args:
        batch: As the contract's input has it.
    """
    if batch is not None:
        return batch, batch
    if isinstance(session, LimitedSession):
        return session.pictures_per_call
    return 1, None


@runtime_checkable
class AsyncSession(Protocol):
    """A session that computes while its caller prepares the next batch; first in, first out.

    Used from one thread, and never together with ``run``.
    """

    @property
    def slots(self) -> int:
        """How many batches may be under way, at least 1."""

    def submit(self, batch: NDArray[Any], ticket: int) -> None:
        """Start on a batch, as for ``run``; it must not change before it is collected.

        Args:
            batch: As for ``run``.
            ticket: Comes back with the result.

        Raises:
            BackendError: The vendor library failed.
            RuntimeError: All slots are under way: a mistake of the caller.
        """

    def collect(self) -> tuple[int, tuple[NDArray[np.float32], ...]]:
        """Wait for the oldest batch.

        Returns:
            Its ticket, and outputs as of ``run``, which hold until the next ``submit``.

        Raises:
            BackendError: The vendor library failed on that batch.
            RuntimeError: Nothing is under way: a mistake of the caller.
        """


@runtime_checkable
class ResidentSession(Protocol):
    """A session whose input can lie where the network reads it: in the memory of a GPU."""

    def resident(self, batch: NDArray[Any]) -> Callable[[], None]:
        """The vendor's bare call, for measuring: nothing is copied to or from the host.

        Args:
            batch: As for ``run``; copied to the device now.

        Returns:
            Runs the network once on that batch and waits for it; valid until the session is used
            in another way.

        Raises:
            BackendError: The vendor library failed.
        """


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    """One line of ``edgeyolo runtimes``.

    Attributes:
        version: Installed version, or ``None``.
        package: Package that provides (or would provide) it.
        precisions: What it executes on this machine.
        note: What is missing and how to get it, or a caveat; may be empty.
    """

    backend: Backend
    package: str
    version: str | None
    precisions: tuple[Precision, ...]
    devices: tuple[str, ...] = ()
    note: str = ""


class Runtime(Protocol):
    """A vendor, before any model is loaded. Importing the vendor's package happens inside."""

    backend: Backend

    def open(self, file: Path, contract: Contract, options: SessionOptions) -> Session:
        """Load a model file whose digest was checked.

        Raises:
            MissingPackageError: The vendor's package is not installed.
            BackendError: The vendor refuses the file or the device.
        """

    def read_contract(self, file: Path) -> str | None:
        """The contract's JSON inside the vendor file, or ``None`` where there is none."""

    def report(self) -> RuntimeReport:
        """What is installed here."""
