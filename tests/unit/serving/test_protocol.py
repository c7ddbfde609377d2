"""A spec refuses what must not become a flag, a variable or a path."""

from pathlib import Path

import pytest

from tritongen.errors import InvalidInputError
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.triton.server_state import project_label


def spec(**changes) -> ServerSpec:
    values = {
        "repository": Path("/models"),
        "models": ("a",),
        "log": Path("/project/log"),
        "project": Path("/project"),
        "label": project_label(Path("/project")),
        **changes,
    }
    return ServerSpec(**values)


def test_a_plain_spec_is_accepted():
    made = spec(flags=(("rate-limit", "execution_count"),), environment=(("OMP_NUM_THREADS", "1"),))
    assert made.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"models": ("../x",)}, "TG106"),
        ({"models": ("a b",)}, "TG106"),
        ({"models": ("",)}, "TG106"),
        ({"models": ("..",)}, "TG106"),
        ({"models": ("-",), "label": "not a label"}, "TG304"),
        ({"host": "127.0.0.1 --load-model=x"}, "TG304"),
        ({"flags": (("Not-A-Flag", ""),)}, "TG304"),
        ({"flags": (("rate-limit", "a\0b"),)}, "TG304"),
        ({"flags": (("model-control-mode", "poll"),)}, "TG830"),
        ({"flags": (("http-address", "localhost"),)}, "TG830"),
        ({"environment": (("A=B", ""),)}, "TG304"),
        ({"environment": (("X", "a\0b"),)}, "TG304"),
        ({"environment": (("LD_PRELOAD", "/x.so"),)}, "TG830"),
        ({"environment": (("TRITONGEN_SERVER", "x"),)}, "TG830"),
        ({"ports": Ports(8000, 8000, 8002)}, "TG305"),
        ({"ports": Ports(70_000, 8001, 8002)}, "TG304"),
        ({"ports": Ports(-1, 8001, 8002)}, "TG304"),
        ({"cores": 0}, "TG304"),
        ({"cpuset": (-1,)}, "TG304"),
    ],
)
def test_faults_are_refused_with_their_code(changes, code):
    with pytest.raises(InvalidInputError) as caught:
        spec(**changes)
    assert caught.value.code == code


def test_all_faults_are_reported_together():
    with pytest.raises(InvalidInputError) as caught:
        spec(models=("../x", "a b"), cores=0)
    assert len(caught.value.details) == 2


def test_free_ports_may_repeat():
    assert spec(ports=Ports(0, 0, 0)).ports == Ports(0, 0, 0)
