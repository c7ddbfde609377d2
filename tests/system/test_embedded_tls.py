"""Attached servers over TLS and behind restricted APIs, on the real Triton."""

import numpy as np
import pytest

from support.certificates import certificate
from support.serving_models import config_text, identity
from support.triton import client_of, start_server, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.serving.attached import attached_status
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.connect import client_for
from tritongen.triton.server import Endpoints


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = certificate(folder, "server")
    certificate(folder, "stranger")
    write_model(folder / "repository", "m", config_text(), {"1/model.onnx": identity()})
    flags = (
        ("grpc-use-ssl", "true"),
        ("grpc-server-cert", str(cert)),
        ("grpc-server-key", str(key)),
        ("grpc-restricted-protocol", "statistics:admin=letmein"),
        ("http-restricted-api", "statistics:admin=letmein"),
    )
    with start_server(
        folder / "repository", folder / "project", flags=flags, auto_complete=False
    ) as server:
        yield server, folder


def test_grpc_over_tls(secured):
    server, folder = secured
    port = server.server.endpoints.grpc.rpartition(":")[2]
    url, authority = f"grpcs://localhost:{port}", folder / "server.pem"
    found = attached_status(Endpoint.parse(url, Tls(authority)), None)
    assert [(status.name, status.ready) for status in found.models] == [("m", True)]
    assert found.version == "2.51.0"
    assert found.endpoints == Endpoints(grpc=f"localhost:{port}")
    x = np.array([[1, 2]], np.float32)
    with client_for(Endpoint.parse(url, Tls(authority))) as client:
        assert client.infer("m", {"x": x}, outputs=["y"])["y"].tolist() == [[1.0, 2.0]]
    assert server.server.alive(), "an attached server must outlive its visitors"


def test_a_stranger_s_certificate_is_not_trusted(secured):
    server, folder = secured
    port = server.server.endpoints.grpc.rpartition(":")[2]
    stranger = Endpoint.parse(f"grpcs://localhost:{port}", Tls(folder / "stranger.pem"))
    with pytest.raises(EnvironmentProblem) as caught:
        attached_status(stranger, None)
    assert caught.value.code == "TG834"
    assert "certificate" in caught.value.what


def test_verification_can_be_skipped_over_grpc(secured):
    server, _ = secured
    url = f"grpcs://{server.server.endpoints.grpc}"
    found = attached_status(Endpoint.parse(url, Tls(verify=False)), None)
    assert [status.ready for status in found.models] == [True]


@pytest.mark.parametrize("scheme", ["http", "grpcs"])
def test_restricted_apis_open_with_their_header(secured, scheme):
    server, folder = secured
    endpoints = server.server.endpoints
    host = endpoints.http if scheme == "http" else endpoints.grpc
    tls = Tls(authority=folder / "server.pem") if scheme == "grpcs" else None
    header = "admin" if scheme == "http" else "triton-grpc-protocol-admin"
    closed = client_for(Endpoint.parse(f"{scheme}://{host}", tls))
    with pytest.raises(EnvironmentProblem) as caught:
        closed.statistics("m")
    assert caught.value.code == "TG815"
    assert "restricted" in caught.value.what
    opened = client_for(Endpoint.parse(f"{scheme}://{host}", tls, {header: "letmein"}))
    (stats,) = opened.statistics("m")
    assert stats["name"] == "m"
    assert isinstance(stats["inference_count"], int)
    closed.close()
    opened.close()


def test_both_protocols_tell_the_same(secured):
    server, folder = secured
    tls = Tls(authority=folder / "server.pem")
    with (
        client_of(server.server) as by_http,
        client_for(Endpoint.parse(f"grpcs://{server.server.endpoints.grpc}", tls)) as by_grpc,
    ):
        assert by_grpc.model_config("m") == by_http.model_config("m")
        assert by_grpc.index() == by_http.index()
        assert by_grpc.metadata().version == by_http.metadata().version
        assert by_grpc.model_ready("m")
        assert not by_grpc.model_ready("absent")
        for client in (by_http, by_grpc):
            with pytest.raises(EnvironmentProblem) as caught:
                client.model_config("absent")
            assert caught.value.code == "TG815"


@pytest.mark.parametrize("more", [(), ("--streaming",)], ids=["unary", "streams"])
def test_probe_skips_the_verification_of_every_channel(secured, project, more):
    server, _ = secured
    url = f"grpcs://{server.server.endpoints.grpc}"
    asked = ("probe", "-u", url, "--protocol", "grpc", "-m", "m", "--duration", "1", *more)
    assert project.error(*asked, expect=3)["code"] == "TG834"
    assert project.json(*asked, "--insecure")["schema_version"] == 1
