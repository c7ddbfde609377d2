"""Several servers seen as one: every one has a say, and each refusal has its code."""

import socket
from contextlib import ExitStack

import pytest

from support.impostor import impostor
from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl

META = {"name": "m", "versions": ["1"], "platform": "p", "inputs": [
    {"name": "x", "datatype": "FP32", "shape": ["-1", 4]}], "outputs": []}  # fmt: skip
STATS = {"model_stats": [{"inference_count": 3, "execution_count": 2}]}
CONFIG = {"name": "m", "instance_group": [{"count": 2}]}


@pytest.fixture
def control():
    with ExitStack() as stack:

        def made(*replicas: dict[str, object], models: tuple[tuple[str, ...], ...] = ()):
            ready = models or (("m",),) * len(replicas)
            places = [
                Endpoint.parse(stack.enter_context(impostor(names, answers)))
                for names, answers in zip(ready, replicas, strict=True)
            ]
            found = ServerControl(*places, timeout_s=5.0)
            stack.callback(found.close)
            return found

        yield made


def test_what_is_ready_is_ready_everywhere(control):
    both = control({}, {}, models=(("b", "a", "c"), ("c", "b")))
    assert both.ready_models() == ["b", "c"]
    assert both.is_ready("b")
    assert both.reason("d") == "the server's repository has no model of that name"
    assert both.reason("a") == "READY"
    assert both.server().extensions == ("binary_tensor_data",)


def test_counters_and_instances_are_added_up(control):
    whole = {"metadata": META, "stats": STATS, "config": CONFIG}
    one, two = control(whole), control(whole, whole)
    assert (one.statistics("m").inferences, two.statistics("m").inferences) == (3, 6)
    assert one.config("m") == CONFIG
    assert two.config("m")["instance_group"] == [{"count": 2}] * 2
    assert two.metadata("m").inputs[0].shape == (-1, 4)


def test_models_that_differ_are_told(control):
    other = {**META, "platform": "q"}
    with pytest.raises(EnvironmentProblem, match="the servers' models 'm' differ") as caught:
        control({"metadata": META}, {"metadata": other}).metadata("m")
    assert caught.value.code == "TG902"


def test_an_answer_of_another_form_is_none_of_triton_s(control):
    for answers in ({"stats": {"model_stats": [{"inference_count": "many"}]}}, {"stats": 3}):
        with pytest.raises(EnvironmentProblem) as caught:
            control(answers).statistics("m")
        assert caught.value.code == "TG902"


def test_nobody_who_answers_and_somebody_who_speaks_otherwise(control):
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = server.getsockname()[1]
    lost = ServerControl(Endpoint("127.0.0.1", gone), timeout_s=2.0)
    with pytest.raises(EnvironmentProblem) as caught:
        lost.server()
    assert (caught.value.code, caught.value.where) == ("TG901", f"127.0.0.1:{gone}")
    with impostor((), {}) as address:
        place = Endpoint.parse(address, protocol=ClientProtocol.GRPC)
        grpc = ServerControl(place, timeout_s=2.0)
        with pytest.raises(EnvironmentProblem) as caught:
            grpc.server()
        grpc.close()
    assert caught.value.code == "TG902"
    assert "does not speak gRPC" in caught.value.what


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("host", ("host", 8000)),
        (" host:1 ", ("host", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("https://host:80/", ("host", 80)),
        ("https://host", ("host", 443)),
    ],
)
def test_an_address_has_the_usual_port_where_it_names_none(text, place):
    found = Endpoint.parse(text)
    assert (found.host, found.port, found.protocol) == (*place, ClientProtocol.HTTP)
    assert found.address.count("[") == (":" in place[0])


def test_grpc_has_a_port_of_its_own():
    found = Endpoint.parse("grpc://host", protocol=ClientProtocol.GRPC)
    assert (found.host, found.port) == ("host", 8001)
