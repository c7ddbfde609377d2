"""GPUs that can be planned for: memory, bandwidth and peak rates, from the makers' data sheets.

Rates are dense ones: where a data sheet names them with sparsity, half of that. Memory is in
decimal gigabytes, as cards are sold; what a driver reports is a little more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tritongen.model.facts import Precision

_GB, _TERA = 10**9, 1e12
# A card with MIG has seven slices of its processors and eight of its memory.
_COMPUTE_SLICES = 7
_SLICE = re.compile(r"(\d)g\.(\d+)gb")
_FAMILY = re.compile(r"\b(T4|L4|A10G|A10|L40S|A100|H100|H200|B200)\b")


@dataclass(frozen=True, slots=True)
class GpuCard:
    """One kind of GPU, or one MIG slice of it.

    Attributes:
        name: as tritongen.yaml writes it.
        capability: CUDA compute capability.
        memory_bytes: of the card.
        bandwidth: of its memory, bytes/s.
        fp32: operations a second outside the tensor cores.
        tf32: of FP32 matrices on tensor cores, 0 where it has none for them.
        fp16: of FP16 matrices.
        int8: of INT8 matrices.
        mig: names of the slices that it can be cut into.
    """

    name: str
    capability: str
    memory_bytes: int
    bandwidth: float
    fp32: float
    tf32: float
    fp16: float
    int8: float
    mig: tuple[str, ...] = ()

    def matrix_rate(self, precision: Precision) -> float:
        """Peak of matrix products and convolutions as ONNX Runtime's CUDA provider runs them.

        It takes TF32 for FP32 where the card has it, and has no kernels for most INT8 operators.
        """
        single = self.tf32 or self.fp32
        if precision is Precision.HALF:
            return self.fp16
        return self.fp16 if precision is Precision.BRAIN and self.tf32 else single

    def slice(self, profile: str) -> "GpuCard":
        """The part of it that a MIG profile of `mig` names; all of it for none."""
        match = _SLICE.fullmatch(profile)
        if match is None:
            return self
        memory = int(match[2]) * _GB
        compute, share = int(match[1]) / _COMPUTE_SLICES, min(1.0, memory / self.memory_bytes)
        return replace(
            self,
            name=f"{self.name} {profile}",
            memory_bytes=memory,
            bandwidth=self.bandwidth * share,
            fp32=self.fp32 * compute,
            tf32=self.tf32 * compute,
            fp16=self.fp16 * compute,
            int8=self.int8 * compute,
            mig=(),
        )


def _card(
    name: str, capability: str, memory: tuple[int, float], rates: tuple[float, ...], mig: str = ""
) -> GpuCard:
    """A row of the table: gigabytes and gigabytes/s, then teraoperations/s."""
    gigabytes, gigabytes_per_s = memory
    fp32, tf32, fp16, int8 = (rate * _TERA for rate in rates)
    bandwidth = gigabytes_per_s * _GB
    profiles = tuple(mig.split())
    return GpuCard(name, capability, gigabytes * _GB, bandwidth, fp32, tf32, fp16, int8, profiles)


# Of an A10G nobody has published the rate of its tensor cores; the lower of what is said. Of the
# two A100 of 80 GB the slower, the one for PCIe.
_ROWS = (
    # GB and GB/s; FP32, TF32, FP16 and INT8
    _card("T4", "7.5", (16, 320), (8.1, 0, 65, 130)),
    _card("L4", "8.9", (24, 300), (30.3, 60, 121, 242)),
    _card("A10", "8.6", (24, 600), (31.2, 62.5, 125, 250)),
    _card("A10G", "8.6", (24, 600), (31.2, 31.2, 62, 125)),
    _card("L40S", "8.9", (48, 864), (91.6, 183, 362, 733)),
    _card("A100-40", "8.0", (40, 1555), (19.5, 156, 312, 624),
          "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb"),
    _card("A100-80", "8.0", (80, 1935), (19.5, 156, 312, 624),
          "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
    _card("H100", "9.0", (80, 3350), (67, 495, 989, 1979),
          "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
    _card("H100-PCIe", "9.0", (80, 2000), (51, 378, 756, 1513),
          "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
    _card("H200", "9.0", (141, 4800), (67, 495, 989, 1979),
          "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb"),
    _card("B200", "10.0", (180, 7700), (75, 1100, 2250, 4500),
          "1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb"),
)  # fmt: skip
CARDS: Mapping[str, GpuCard] = MappingProxyType({card.name: card for card in _ROWS})


def card_name(text: str, memory_bytes: float = 0.0) -> str | None:
    """The card of the table that a text names, None for one that it does not have.

    Args:
        text: as tritongen.yaml, a cloud or NVIDIA's driver writes it: ``t4``, ``NVIDIA L4``,
            ``NVIDIA A100-SXM4-80GB``.
        memory_bytes: of one card, which tells two of the same name apart; 0 where not known.
    """
    words = text.strip().upper()
    exact = next((name for name in CARDS if name.upper() == words), None)
    family = _FAMILY.search(words)
    if exact is not None or family is None or "NVL" in words:
        return exact
    if family[1] == "A100":
        stated = re.search(r"\b(\d+)\s*GB", words)
        gigabytes = int(stated[1]) if stated else round(memory_bytes / _GB)
        return next((f"A100-{size}" for size in (40, 80) if abs(gigabytes - size) < 8), None)
    pcie = family[1] == "H100" and "PCIE" in words
    return "H100-PCIe" if pcie else family[1]


def known_slice(profile: str, card: GpuCard) -> str:
    """What is wrong with a MIG profile on a card; empty where nothing is."""
    if profile in card.mig:
        return ""
    if not card.mig:
        return f"{card.name} cannot be cut into MIG slices: leave `mig` out"
    return f"{card.name} has no slice {profile}: write one of {', '.join(card.mig)}"
