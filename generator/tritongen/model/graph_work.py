"""What one execution of a model computes and moves: the ground of a roofline estimate."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Work:
    """Sums over the operators of one execution.

    Attributes:
        matrix_flops: of matrix products, convolutions over channels, attention and recurrent
            layers.
        matrix_bytes: that those read and write, weights included.
        other_flops: of everything else.
        other_bytes: that it reads and writes.
        kernels: operators that compute, each step of a recurrent layer counted.
        live_bytes: inputs and outputs of the operator with the most of them, without weights.
    """

    matrix_flops: int = 0
    matrix_bytes: int = 0
    other_flops: int = 0
    other_bytes: int = 0
    kernels: int = 0
    live_bytes: int = 0

    def plus(self, other: "Work", times: int = 1) -> "Work":
        """The sum with so many times another."""
        return Work(
            *(getattr(self, item.name) + times * getattr(other, item.name) for item in fields(self))
        )

    @property
    def flops(self) -> int:
        """All operations."""
        return self.matrix_flops + self.other_flops

    @property
    def bytes(self) -> int:
        """All bytes that are moved."""
        return self.matrix_bytes + self.other_bytes


@dataclass(frozen=True, slots=True)
class GraphWork:
    """The work of an execution by its rows, at the sizes of the other axes that the trial fed.

    Attributes:
        first: of one row, or of the inputs as they are without a batch axis.
        further: what each further row adds; None without a batch axis.
    """

    first: Work
    further: Work | None = None

    def of(self, rows: int) -> Work:
        """The work of so many rows at once."""
        return self.first.plus(self.further, rows - 1) if self.further is not None else self.first
