"""A spec refuses what must not become a flag, a variable or a path."""

from pathlib import Path

import pytest

from tritongen.errors import InvalidInputError
from tritongen.serving.protocol import ModelControl, Ports, ServerSpec, server_arguments
from tritongen.triton.server import ApiKeys
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


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        (("http-port", "8000"), "TG830"),
        (("model-control-mode", "poll"), "TG830"),
        # They would take the place of the keys by which the APIs are closed.
        (("http-restricted-api", "model-repository:a=b"), "TG830"),
        (("grpc-restricted-protocol", "model-repository:a=b"), "TG830"),
        (("http-threads", "3"), "TG863"),
        (("http-thread-count", "many"), "TG863"),
    ],
)
def test_what_a_user_may_not_ask_of_the_server(flag, code):
    with pytest.raises(InvalidInputError) as caught:
        spec(user_flags=(flag,))
    assert caught.value.code == code


def test_a_user_flag_replaces_what_was_planned():
    made = spec(
        flags=(("cache-config", "local,size=5"), ("rate-limit", "execution_count")),
        user_flags=(("cache-config", "redis,host=h"), ("cache-config", "redis,port=1")),
    )
    arguments = server_arguments(made, (), ApiKeys("", ""))
    assert [one for one in arguments if "cache" in one] == [
        "--cache-config=redis,host=h", "--cache-config=redis,port=1",
    ]  # fmt: skip
    assert "--rate-limit=execution_count" in arguments


def test_explicit_control_loads_the_models_and_keeps_the_apis_closed():
    made = spec(models=("a", "b"), model_control=ModelControl.EXPLICIT)
    arguments = server_arguments(made, (), ApiKeys("key", "other"))
    assert "--model-control-mode=explicit" in arguments
    assert [one for one in arguments if "load-model" in one] == ["--load-model=a", "--load-model=b"]
    assert any("model-repository:tritongen-key=key" in one for one in arguments)
