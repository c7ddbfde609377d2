"""`status` of any Triton by its address: TLS, restricted APIs, and drift from the disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest

from support.certificates import certificate
from support.cli import Project
from support.cli_schemas import SCHEMAS
from support.serving_models import config_text, identity
from support.triton import TestServer, start_server, write_model

SECRET = "letmein-4711"  # noqa: S105  (of the test's own server)


@dataclass
class Elsewhere:
    """A server that somebody else runs: gRPC by TLS, its metadata behind a header."""

    server: TestServer
    folder: Path

    @property
    def http(self) -> str:
        return self.server.server.endpoints.http

    @property
    def grpc(self) -> str:
        return f"grpcs://localhost:{self.server.server.endpoints.grpc.rpartition(':')[2]}"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    cert, key = certificate(folder, "server")
    write_model(folder / "model_repository", "m", config_text(), {"1/model.onnx": identity()})
    flags = (
        ("grpc-use-ssl", "true"),
        ("grpc-server-cert", str(cert)),
        ("grpc-server-key", str(key)),
        ("grpc-restricted-protocol", f"metadata:admin={SECRET}"),
        ("http-restricted-api", f"metadata:admin={SECRET}"),
    )
    repository, project = folder / "model_repository", folder / "project"
    with start_server(repository, project, flags=flags, auto_complete=False) as server:
        yield Elsewhere(server, folder)


def test_by_http_with_a_header(elsewhere: Elsewhere, project: Project):
    problem = project.error("status", "-u", elsewhere.http, expect=3)
    assert problem["code"] == "TG815"
    assert "expecting header 'admin'" in problem["message"]
    header = f"admin: {SECRET}"
    ran = project.run("status", "-u", f"http://{elsewhere.http}", "--header", header)
    assert "Triton 2.51.0 (attached)" in ran.out
    assert SECRET not in ran.out + ran.err
    document = project.json("status", "-u", elsewhere.http, "--header", header)
    jsonschema.validate(document["models"], SCHEMAS["status"]["properties"]["models"])
    assert document["endpoints"] == {"http": elsewhere.http, "grpc": "", "metrics": ""}
    assert document["models"] == [{"name": "m", "ready": True, "reason": ""}]
    assert document["drift"] == []
    wrong = project.error("status", "-u", elsewhere.http, "--header", "admin: guess", expect=3)
    assert wrong["code"] == "TG815"
    assert "guess" not in str(wrong)


def test_by_grpc_with_tls_and_headers_of_a_file(elsewhere: Elsewhere, project: Project):
    headers = project.write("headers", f"triton-grpc-protocol-admin: {SECRET}\n")
    words = ("status", "-u", elsewhere.grpc, "--header-file", str(headers))
    trusted = ("--ca", str(elsewhere.folder / "server.pem"))
    document = project.json(*words, *trusted)
    assert document["models"][0]["ready"]
    assert project.error(*words, expect=3)["code"] in {"TG814", "TG834"}
    absent = project.error(*words, "--ca", "absent.pem", expect=3)
    assert absent["code"] == "TG834"


def test_drift_from_the_repository_on_disk(elsewhere: Elsewhere, project: Project):
    words = ("status", "-u", elsewhere.http, "--header", f"admin: {SECRET}")
    same = project.json(*words, str(elsewhere.folder / "model_repository"))
    assert same["drift"] == []
    other = config_text(batch=8).replace("count: 1", "count: 2")
    write_model(project.repository, "m", other, {"1/model.onnx": identity()})
    write_model(project.repository, "only_here", config_text(), {"1/model.onnx": identity()})
    found = project.json(*words, expect=1)
    assert [(item["model"], item["field"]) for item in found["drift"]] == [
        ("only_here", ""),
        ("m", "max_batch_size"),
        ("m", "instance_group[0].count"),
    ]
    assert all(item["code"] == "TG853" for item in found["drift"])
    project.config("m").write_text("max_batch_size: many")
    out = project.run(*words, expect=1).out
    assert "can no longer be read by Triton" in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-u", "ftp://host"), "TG304"),
        (("-u", "http://host/path/v2"), "TG304"),
        (("-u", "grpc://host/path"), "TG304"),
        (("-u", "host", "--key", "key.pem"), "TG009"),
        (("-u", "host", "--header", f"Content-Length: {SECRET}"), "TG304"),
        (("-u", "http://host", "--insecure"), "TG304"),
        (("-u", "host", "--header", SECRET), "TG304"),
        (("-u", "host", "--header", f"a b: {SECRET}"), "TG304"),
        (("-u", "host", "--header-file", "absent"), "TG003"),
        (("--header", f"admin: {SECRET}"), "TG009"),
        (("-u", "127.0.0.1:9", "absent"), "TG002"),
    ],
    ids=str,
)
def test_a_mistake_is_told_without_its_secret(project: Project, words: tuple[str, ...], code: str):
    ran = project.run("status", *words, expect=2)
    assert code in ran.err
    assert SECRET not in ran.out + ran.err


def test_nobody_answers(project: Project):
    assert project.error("status", "-u", "127.0.0.1:9", expect=3)["code"] == "TG814"
    assert project.error("status", "-u", "grpc://127.0.0.1:9", expect=3)["code"] == "TG814"
