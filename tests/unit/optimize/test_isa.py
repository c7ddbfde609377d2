import pytest

from tritongen.errors import InvalidInputError
from tritongen.optimize.isa import Isa, named_isa, parse_cpuinfo

ICE_LAKE = """\
processor : 0
model name : Intel(R) Xeon(R) Platinum 8370C
flags : fpu sse4_2 avx2 avx512f avx512_vnni
processor : 1
model name : Intel(R) Xeon(R) Platinum 8370C
flags : fpu sse4_2 avx2 avx512f avx512_vnni
"""
SAPPHIRE = "model name: X\nflags: avx2 avx512f avx512_vnni amx_tile amx_int8"
ZEN_2 = "model name\t: AMD EPYC 7452\nflags\t\t: sse4_2 avx avx2"
GRAVITON = "processor : 0\nFeatures : fp asimd asimddp\n"


def test_flags() -> None:
    assert parse_cpuinfo(ICE_LAKE) == Isa(
        "Intel(R) Xeon(R) Platinum 8370C", avx2=True, avx512=True, vnni=True
    )
    assert parse_cpuinfo(SAPPHIRE).amx
    assert not parse_cpuinfo(ZEN_2).vnni
    assert parse_cpuinfo(GRAVITON) == Isa(vnni=True, arm=True)
    assert parse_cpuinfo("") == Isa()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ICE_LAKE, "Intel(R) Xeon(R) Platinum 8370C with AVX-512, VNNI, without AMX"),
        (SAPPHIRE, "X with AVX-512, VNNI, AMX"),
        (ZEN_2, "AMD EPYC 7452 with AVX2, without VNNI and AMX"),
        (GRAVITON, "the target's CPU with 8-bit dot products"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert str(parse_cpuinfo(text)) == words


def test_a_stated_target_wins_over_the_machine() -> None:
    machine = parse_cpuinfo(ICE_LAKE)
    assert named_isa("auto", machine) is machine
    assert named_isa("avx2", machine) == Isa(avx2=True)
    assert named_isa("vnni", Isa()) == Isa(avx2=True, avx512=True, vnni=True)
    assert named_isa("amx", Isa()).amx
    with pytest.raises(InvalidInputError) as caught:
        named_isa("mmx", machine)
    assert caught.value.code == "TG304"
