"""How fast one core of a processor is against one of another.

Two bounds are known for work like a model's: it gains at least what scalar code gains (clock ×
instructions a cycle), and at most what full-width vector code gains (clock × vector operations a
cycle). The geometric mean of the two ratios is the estimate, and their distance its uncertainty.
Clocks are those sustained on all cores; the numbers are rounded, and their error is part of the
floor below.
"""

import math
import re
from dataclasses import dataclass
from functools import cache

# Two processors of one name differ by boards, memory and neighbours.
SAME_UNCERTAINTY = 0.08
MIN_UNCERTAINTY = 0.15
# An unknown processor may be any of those below.
UNKNOWN_UNCERTAINTY = 0.35
_USUAL = "Ice Lake"
# 8-bit products without VNNI take about this much longer than with it.
NO_VNNI = 2.0
_NO_VNNI_UNCERTAINTY = 0.25


@dataclass(frozen=True, slots=True)
class Processor:
    """A generation of processors.

    Attributes:
        name: of the generation.
        ghz: clock sustained on all cores.
        ipc: scalar instructions a cycle, Skylake = 1.
        flops: 32-bit floating point operations a cycle and core, at that clock.
        vnni: 8-bit products summed without saturation.
    """

    name: str
    ghz: float
    ipc: float
    flops: float
    vnni: bool

    @property
    def scalar(self) -> float:
        """Speed of scalar code."""
        return self.ghz * self.ipc

    @property
    def vector(self) -> float:
        """Speed of full-width vector code."""
        return self.ghz * self.flops


_GENERATIONS: tuple[Processor, ...] = (
    Processor("Broadwell", 3.0, 0.93, 32.0, vnni=False),
    Processor("Skylake", 3.0, 1.0, 55.0, vnni=False),
    Processor("Cascade Lake", 3.1, 1.0, 55.0, vnni=True),
    Processor("Cascade Lake 6246R", 3.8, 1.0, 52.0, vnni=True),
    Processor("Ice Lake", 3.2, 1.18, 58.0, vnni=True),
    Processor("Sapphire Rapids", 3.0, 1.33, 60.0, vnni=True),
    Processor("Emerald Rapids", 3.0, 1.38, 60.0, vnni=True),
    Processor("Rome", 3.2, 1.05, 32.0, vnni=False),
    Processor("Milan", 3.3, 1.22, 32.0, vnni=False),
    Processor("Genoa", 3.6, 1.38, 32.0, vnni=True),
    Processor("Turin", 3.8, 1.55, 60.0, vnni=True),
    Processor("Graviton3", 2.6, 1.25, 32.0, vnni=True),
)

# Model numbers and code names → generation; the first match of each word counts.
_MARKS: tuple[tuple[str, str], ...] = (
    (r"6246R", "Cascade Lake 6246R"),
    (r"8168|8175|\bSkylake\b", "Skylake"),
    (r"8272CL|8259CL|8275CL|Cascade Lake", "Cascade Lake"),
    (r"8370C|8375C|Ice Lake", "Ice Lake"),
    (r"8473C|8481C|8488C|Sapphire Rapids", "Sapphire Rapids"),
    (r"8573C|8581C|Emerald Rapids", "Emerald Rapids"),
    (r"E5-26\d\d v4|Broadwell", "Broadwell"),
    (r"7452|7V12|7R32|Rome", "Rome"),
    (r"7763v?|7V13|7R13|74F3v?|7V73X|Milan", "Milan"),
    (r"9V74|9V84|9R14|9004|Genoa", "Genoa"),
    (r"9V45|9R45|9005|Turin", "Turin"),
    (r"Graviton3|Neoverse-V1", "Graviton3"),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """How much longer work takes on a machine than where it was measured.

    Attributes:
        factor: time there ÷ time here, the estimate to plan with.
        low: it hardly takes less than this.
        high: it hardly takes more than this.
        reason: one sentence.
    """

    factor: float
    low: float
    high: float
    reason: str


def processor_of(text: str) -> tuple[Processor, ...]:
    """The generations that a processor's description may mean, in the table's order."""
    found = {name for pattern, name in _MARKS if re.search(pattern, text, re.IGNORECASE)}
    if "Cascade Lake 6246R" in found:
        found.discard("Cascade Lake")
    return tuple(one for one in _GENERATIONS if one.name in found)


def same_processor(measured_on: str, machine_cpu: str) -> bool:
    """Whether a machine has the processor that was measured on, as far as their names tell."""
    here, there = processor_of(measured_on), processor_of(machine_cpu)
    known = len(here) == len(there) == 1 and here == there
    return known or (bool(measured_on) and measured_on == machine_cpu)


@cache  # machines of a catalogue have few processors
def relative_speed(measured_on: str, machine_cpu: str, *, int8: bool = False) -> Speed:
    """How long work takes on a machine against where it was measured.

    Args:
        measured_on: the processor's name there, empty when not known.
        machine_cpu: the machine's processor; several where the provider does not say which.
        int8: whether most of the work is on 8-bit integers.

    The slowest of several possible processors is planned with; the range covers all of them.
    """
    here, there = processor_of(measured_on), processor_of(machine_cpu)
    if not there:
        wide = 1.0 + UNKNOWN_UNCERTAINTY
        reason = "the machine's processor is not in the table; taken as equally fast"
        return Speed(1.0, 1.0 / wide, wide, reason)
    if not here:
        # Machines are still told apart; the level is what is not known.
        known = relative_speed(_USUAL, machine_cpu, int8=int8)
        wide = 1.0 + UNKNOWN_UNCERTAINTY
        reason = f"the measuring processor is not in the table; taken as {_USUAL}"
        return Speed(known.factor, known.factor / wide, known.factor * wide, reason)
    if len(here) == len(there) == 1 and here == there:
        wide = 1.0 + SAME_UNCERTAINTY
        return Speed(1.0, 1.0 / wide, wide, f"measured on the same processor, {here[0].name}")
    pairs = [(_ratio(a, b, int8), a, b) for a in here for b in there]
    (factor, _), base, slowest = max(pairs, key=lambda pair: pair[0][0])
    low = min(value / (1.0 + wide) for (value, wide), _, _ in pairs)
    high = max(value * (1.0 + wide) for (value, wide), _, _ in pairs)
    several = f", the slowest of {len(there)} that it may be" if len(there) > 1 else ""
    lacks = " and lacks VNNI" if int8 and base.vnni and not slowest.vnni else ""
    return Speed(
        factor,
        low,
        high,
        f"{slowest.name}{several}{lacks} takes {factor:.2f} × the time of {base.name}",
    )


def _ratio(here: Processor, there: Processor, int8: bool) -> tuple[float, float]:
    """Time there ÷ time here, and its uncertainty as a share."""
    scalar = here.scalar / there.scalar
    vector = here.vector / there.vector
    factor = math.sqrt(scalar * vector)
    wide = max(MIN_UNCERTAINTY, math.sqrt(max(scalar / vector, vector / scalar)) - 1.0)
    if int8 and here.vnni != there.vnni:
        factor = factor * NO_VNNI if here.vnni else factor / NO_VNNI
        wide += _NO_VNNI_UNCERTAINTY
    return factor, wide
