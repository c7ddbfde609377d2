"""System shared memory for inputs and outputs, so that tensors do not travel."""

import contextlib
import itertools
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.system.process_files import exists
from tritongen.triton.control import ServerControl
from tritongen.triton.messages import Message, SharedRegion

_FOLDER = Path("/dev/shm")  # noqa: S108  (POSIX shared memory objects live here; names are ours)
_PREFIX = "tritongen_probe_"
_ALIGNMENT_BYTES = 64  # Of a cache line.
_NUMBERS = itertools.count()


class Region:
    """A shared memory object that the server knows; gone when closed."""

    def __init__(self, control: ServerControl, size: int) -> None:
        """Make it and register it.

        Raises:
            EnvironmentProblem: TG909, there is no room for it, or the server refuses it.
        """
        self.name = f"{_PREFIX}{os.getpid()}_{next(_NUMBERS)}"
        self.size = max(size, 1)
        self._control = control
        self._path = _FOLDER / self.name
        self._registered = False
        try:
            self.memory = self._make()
        except OSError as fault:
            self._path.unlink(missing_ok=True)
            raise EnvironmentProblem(
                "TG909",
                f"no {self.size / 2**20:.0f} MiB of shared memory: {fault.strerror}",
                where=str(_FOLDER),
                fix="Free some, or probe with less concurrency or without --shm.",
            ) from None
        try:
            control.register_shared_memory(self.name, f"/{self.name}", self.size)
            self._registered = True
        except TritongenError:
            self.close()
            raise

    def _make(self) -> mmap.mmap:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.size)
            return mmap.mmap(descriptor, self.size)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Unregister and remove it."""
        if self._registered:
            with contextlib.suppress(TritongenError):
                # A server that is gone has forgotten it anyway.
                self._control.unregister_shared_memory(self.name)
            self._registered = False
        with contextlib.suppress(BufferError):
            self.memory.close()
        self._path.unlink(missing_ok=True)


class SharedTensors:
    """Puts the tensors of one model's messages into shared memory.

    Inputs lie there once and are only read. Each slot of concurrency has outputs of its own.
    """

    def __init__(
        self,
        control: ServerControl,
        messages: Sequence[Message],
        output_sizes: Mapping[str, int],
        slots: int,
    ) -> None:
        """Make and fill the regions.

        Args:
            control: of the server.
            messages: whose inputs are put there.
            output_sizes: bytes to keep free for each output.
            slots: slots of concurrency.

        Raises:
            EnvironmentProblem: TG909.
        """
        raws = {
            (index, tensor.name): _data(tensor.data)
            for index, message in enumerate(messages)
            for tensor in message.inputs
        }
        self._offsets: dict[tuple[int, str], int] = {}
        position = 0
        for key, raw in raws.items():
            self._offsets[key] = position
            position += _aligned(len(raw))
        self._outputs: dict[str, tuple[int, int]] = {}
        self._slot_size = 0
        for name, size in output_sizes.items():
            self._outputs[name] = (self._slot_size, size)
            self._slot_size += _aligned(size)
        remove_leftovers()
        self._inputs = Region(control, position)
        try:
            self._results = Region(control, self._slot_size * slots)
        except TritongenError:
            self._inputs.close()
            raise
        for key, raw in raws.items():
            begin = self._offsets[key]
            self._inputs.memory[begin : begin + len(raw)] = raw

    def __call__(self, message: Message, index: int, slot: int) -> Message:
        """The message with regions in place of data, for one slot."""
        inputs = tuple(
            replace(
                tensor,
                data=SharedRegion(
                    self._inputs.name, self._offsets[index, tensor.name], len(_data(tensor.data))
                ),
            )
            for tensor in message.inputs
        )
        outputs = tuple(
            (name, self._result(name, slot) if name in self._outputs else None)
            for name, _ in message.outputs
        )
        return replace(message, inputs=inputs, outputs=outputs)

    def _result(self, name: str, slot: int) -> SharedRegion:
        offset, size = self._outputs[name]
        return SharedRegion(self._results.name, slot * self._slot_size + offset, size)

    def close(self) -> None:
        """Remove the regions."""
        self._inputs.close()
        self._results.close()


def _data(data: bytes | SharedRegion) -> bytes:
    assert isinstance(data, bytes)  # noqa: S101  (messages are placed once)
    return data


def _aligned(size: int) -> int:
    return max(-(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES, _ALIGNMENT_BYTES)


def remove_leftovers() -> None:
    """Remove regions of probes that were killed."""
    for path in _FOLDER.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).partition("_")[0]
        if owner.isdigit() and not exists(int(owner)):
            with contextlib.suppress(OSError):
                # Another user's, or another probe was quicker.
                path.unlink(missing_ok=True)
