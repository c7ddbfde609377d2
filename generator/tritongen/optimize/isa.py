"""What a CPU can do with 8-bit integers, from its flags."""

from dataclasses import dataclass

from tritongen.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Isa:
    """Instruction sets that decide whether quantising pays.

    Attributes:
        model: the CPU's name, empty when it is not known.
        avx2: 256-bit integers.
        avx512: 512-bit integers.
        vnni: 8-bit products summed without saturation: AVX-512 VNNI, AVX-VNNI or Arm's dot product.
        amx: tiles of 8-bit products.
        arm: an Arm CPU.
    """

    model: str = ""
    avx2: bool = False
    avx512: bool = False
    vnni: bool = False
    amx: bool = False
    arm: bool = False

    def __str__(self) -> str:
        """One phrase for a reason: the CPU, what it has and what it lacks."""
        name = self.model or "the target's CPU"
        if self.arm:
            return f"{name} {'with' if self.vnni else 'without'} 8-bit dot products"
        width = "AVX-512" if self.avx512 else "AVX2" if self.avx2 else "SSE"
        has = [width, *(["VNNI"] if self.vnni else []), *(["AMX"] if self.amx else [])]
        lacks = [word for word, own in (("VNNI", self.vnni), ("AMX", self.amx)) if not own]
        without = f", without {' and '.join(lacks)}" if lacks else ""
        return f"{name} with {', '.join(has)}{without}"


def parse_cpuinfo(text: str) -> Isa:
    """Read Linux's `/proc/cpuinfo`; every flag is absent in a text that names none."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.strip():
            found.setdefault(key.strip(), value.strip())
    flags = set(found.get("flags", found.get("Features", "")).split())
    return Isa(
        model=found.get("model name", ""),
        avx2="avx2" in flags,
        avx512="avx512f" in flags,
        vnni=bool(flags & {"avx512_vnni", "avx_vnni", "asimddp"}),
        amx="amx_int8" in flags,
        arm="Features" in found,
    )


ISA_NAMES = ("auto", "avx2", "avx512", "vnni", "amx", "arm")


def named_isa(name: str, machine: Isa) -> Isa:
    """The instruction sets of a target that is stated by name; ``auto`` takes this machine's.

    Raises:
        InvalidInputError: TG304, the name is not one of `ISA_NAMES`.
    """
    if name == "auto":
        return machine
    if name not in ISA_NAMES:
        raise InvalidInputError(
            "TG304", f"{name!r} is no instruction set", fix=f"One of {', '.join(ISA_NAMES)}."
        )
    if name == "arm":
        return Isa(vnni=True, arm=True)
    rank = ISA_NAMES.index(name)
    return Isa(
        avx2=True,
        avx512=rank >= ISA_NAMES.index("avx512"),
        vnni=rank >= ISA_NAMES.index("vnni"),
        amx=name == "amx",
    )
