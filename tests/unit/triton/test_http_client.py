"""The HTTP client against a server in this process."""

import socket
import threading

import numpy as np
import pytest

from support.fake_runtime import FakeTriton
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.samples import numpy_dtype
from tritongen.model.tensors import DType
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.client import IndexEntry
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import model_statuses, wait_for_models
from tritongen.triton.tensor_bytes import decode, dtype_of, encode

READY = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.fixture
def triton():
    models = {
        "good": {"version": "1", "state": "READY"},
        "bad": {"version": "1", "state": "UNAVAILABLE", "reason": "Internal: because"},
        "unread": {},
    }
    server = FakeTriton(("127.0.0.1", 0), models)
    yield server
    server.close()


@pytest.fixture
def client(triton):
    with HttpClient(f"127.0.0.1:{triton.server_address[1]}") as made:
        yield made


def test_health_and_index(client):
    assert client.live()
    assert client.metadata().version == "0.0.0"
    assert client.model_ready("good")
    assert not client.model_ready("bad")
    assert IndexEntry("bad", "1", "UNAVAILABLE", "Internal: because") in client.index()
    assert IndexEntry("unread") in client.index()


def test_a_client_on_ipv6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        client = HttpClient(f"[::1]:{server.getsockname()[1]}", timeout=5)
        threading.Thread(target=answered, args=(server, READY), daemon=True).start()
        assert client.live()


def test_refusals_carry_the_server_s_words(client):
    with pytest.raises(EnvironmentProblem) as caught:
        client.model_config("good")
    assert caught.value.code == "TG815"
    assert "no /v2/models/good/config" in caught.value.what


def test_a_name_cannot_leave_its_place_in_the_path(client):
    with pytest.raises(EnvironmentProblem) as caught:
        client.model_config("../../v2")
    assert "no /v2/models/..%2F..%2Fv2/config" in caught.value.what


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = HttpClient(f"127.0.0.1:{port}")
    assert not client.live()
    for ask in (client.metadata, client.index, lambda: client.model_ready("good")):
        with pytest.raises(EnvironmentProblem) as caught:
            ask()
        assert (caught.value.code, caught.value.where) == ("TG814", f"127.0.0.1:{port}")


def answer_once(text: bytes) -> str:
    """The address of a server that sends the bytes to whoever connects, and closes."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answered, args=(server, text), daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def answered(server: socket.socket, text: bytes) -> None:
    with server:
        connection, _ = server.accept()
        with connection:
            request = connection.recv(65536)
            # A body comes by itself; who closes before it is read resets the connection.
            if request.startswith(b"POST") and request.endswith(b"\r\n\r\n"):
                connection.recv(65536)
            connection.sendall(text)


NOT_TRITON = (b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")


@pytest.mark.parametrize(
    ("text", "code"), [(NOT_TRITON[0], "TG814"), (NOT_TRITON[1], "TG839"), (NOT_TRITON[2], "TG814")]
)
def test_an_answer_that_is_not_triton_s(text, code):
    with pytest.raises(EnvironmentProblem) as caught:
        HttpClient(answer_once(text)).metadata()
    assert caught.value.code == code


def test_half_an_index_is_none():
    with pytest.raises(EnvironmentProblem) as caught:
        HttpClient(answer_once(READY + b'[{"name": "a", "ver'), timeout=5).index()
    assert caught.value.code == "TG839"


@pytest.mark.parametrize("text", [*NOT_TRITON, READY])
def test_whoever_waits_for_a_server_lets_another_program_on_its_port_be(text):
    client = HttpClient(answer_once(text), timeout=5)
    with client, pytest.raises(EnvironmentProblem) as caught:
        wait_for_models(
            client, ("good",), timeout=0.05, check_alive=lambda: None, read_log=lambda: ""
        )
    assert caught.value.code == "TG811"


def test_a_client_hands_a_refusal_on():
    refusal = b'HTTP/1.1 403 Forbidden\r\n\r\n{"error": "restricted"}'
    with pytest.raises(EnvironmentProblem) as caught:
        HttpClient(answer_once(refusal), timeout=5).index()
    assert caught.value.code == "TG815"
    assert "restricted" in caught.value.what


def test_tls_to_a_plain_port(triton):
    client = HttpClient(f"127.0.0.1:{triton.server_address[1]}", timeout=5, tls=Tls())
    with pytest.raises(EnvironmentProblem) as caught:
        client.metadata()
    assert caught.value.code == "TG834"


def test_certificates_that_are_not_there(tmp_path):
    with pytest.raises(EnvironmentProblem) as caught:
        Tls(authority=tmp_path / "absent.pem").context()
    assert caught.value.code == "TG834"


def test_statuses_say_why(client):
    statuses, decided = model_statuses(client, ("good", "bad", "unread", "absent"), "")
    assert decided
    assert [(status.ready, status.code) for status in statuses] == [
        (True, ""), (False, "TG820"), (False, "TG821"), (False, "TG828")
    ]  # fmt: skip
    assert statuses[1].reason == "because"


def test_models_that_still_load_are_undecided(triton, client):
    triton.models["good"]["state"] = "LOADING"
    statuses, decided = model_statuses(client, ("good",), "")
    assert not decided
    assert not statuses[0].ready


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_tensors_survive_the_wire(dtype):
    if dtype is DType.BYTES:
        array = np.array([[b"", "é"], [b"\0\xff", b"x" * 300]], dtype=object)
        expected = [[b"", "é".encode()], [b"\0\xff", b"x" * 300]]
    else:
        array = np.array([[0, 1], [2, 3]]).astype(numpy_dtype(dtype))
        expected = array.tolist()
    assert dtype_of(array) is dtype
    got = decode(memoryview(encode(array, dtype)), dtype, (2, 2))
    assert got.tolist() == expected
    assert got.flags.writeable


def test_arrays_without_a_type_on_the_wire():
    assert dtype_of(np.zeros(2, np.complex64)) is None
    assert dtype_of(np.array(["a"])) is DType.BYTES


@pytest.mark.parametrize("dtype", [DType.FP32, DType.BYTES])
def test_bytes_that_do_not_fill_the_shape(dtype):
    with pytest.raises(EnvironmentProblem) as caught:
        decode(memoryview(b"\0\0\0\0"), dtype, (2,))
    assert caught.value.code == "TG815"


@pytest.mark.parametrize(
    ("text", "host", "grpc", "secured"),
    [
        ("localhost:8000", "localhost:8000", False, False),
        ("localhost", "localhost:8000", False, False),
        ("http://10.0.0.1:80/", "10.0.0.1:80", False, False),
        ("https://triton.example", "triton.example:443", False, True),
        ("grpc://triton", "triton:8001", True, False),
        ("grpcs://[::1]:9", "[::1]:9", True, True),
    ],
)
def test_addresses(text, host, grpc, secured):
    endpoint = Endpoint.parse(text)
    found = endpoint.address, endpoint.protocol is ClientProtocol.GRPC, endpoint.tls is not None
    assert found == (host, grpc, secured)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "ftp://x",
            "http://",
            "http://h:x",
            "http://u:p@h",
            "h:99999",
            "h/a b",
            "h/a?b",
            "h//a",
        ),
        *("http://h/v2", "https://h/a/v2/", "h:8000/v2/models/m/infer", "h:8002/metrics"),
        *("grpc://h/a", "grpcs://h/a/b"),
    ],
)
def test_other_addresses_are_refused(text):
    with pytest.raises(InvalidInputError) as caught:
        Endpoint.parse(text)
    assert caught.value.code == "TG304"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://h/api/x/", "h:443/api/x"),
        ("h:1/a", "h:1/a"),
        ("HTTP://[::1]/v2x/a~b", "[::1]:8000/v2x/a~b"),
    ],
)
def test_a_path_stands_before_that_of_every_request(text, place):
    assert Endpoint.parse(text).place == place


def test_a_scheme_and_a_protocol_must_agree():
    assert Endpoint.parse("h", protocol=ClientProtocol.GRPC).address == "h:8001"
    assert Endpoint.parse("grpc://h", protocol=ClientProtocol.GRPC).address == "h:8001"
    assert Endpoint.parse("h", Tls(), protocol=ClientProtocol.HTTP).address == "h:443"
    with pytest.raises(InvalidInputError, match="not for grpc"):
        Endpoint.parse("http://h", protocol=ClientProtocol.GRPC)


def test_tls_files_need_a_secured_scheme():
    assert Endpoint.parse("host:1", Tls()).tls is not None
    with pytest.raises(InvalidInputError):
        Endpoint.parse("http://host:1", Tls())


def test_headers_are_not_shown():
    endpoint = Endpoint.parse("host:1", headers={"key": "secret"})
    assert "secret" not in repr(endpoint)
    assert "secret" not in str(endpoint)


@pytest.mark.parametrize(
    "text",
    ["http://user:s3cret@h", "user:s3cret@h", "ftp://user:s3cret@h", "http://user:s3/cret@h:x"],
)
def test_a_refused_address_is_shown_without_its_password(text):
    with pytest.raises(InvalidInputError) as caught:
        Endpoint.parse(text)
    assert "***@h" in caught.value.what
    assert "s3" not in str(caught.value)
