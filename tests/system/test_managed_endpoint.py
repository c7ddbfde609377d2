"""A managed endpoint (HTTPS, a path, a bearer token, a limit of requests) before a real Triton."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.certificates import certificate, expire
from support.cli import SERVED, Project
from support.nginx import Gateway, nginx

TOKEN = "eyJ-managed-4711"  # noqa: S105  (of the test's own gateway)
LIMITED = "/api/projects/limited"
INFER = "/v2/models/dense/infer"
CONTENT = """
  map $http_authorization $denied {{ default 1; "Bearer {token}" 0; }}
  limit_req_zone $server_name zone=limit:1m rate=20r/s;
  limit_req_status 429;
  upstream bursts {{
    server {http} weight=40 max_fails=0;
    server 127.0.0.1:9 max_fails=0;
  }}
  proxy_next_upstream off;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {{
    listen 127.0.0.1:PORT ssl http2;
    server_name managed;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location /api/projects/x/ {{
      if ($denied) {{ return 401; }}
      proxy_pass http://{http}/;
    }}
    location /api/projects/limited/ {{
      if ($denied) {{ return 401; }}
      limit_req zone=limit burst=15 nodelay;
      error_page 429 @limited;
      proxy_pass http://{http}/;
    }}
    location @limited {{ add_header Retry-After 7 always; return 429; }}
    location /api/projects/bursts/ {{ proxy_pass http://bursts/; }}
    location = /api/numbers/metrics {{
      if ($denied) {{ return 401; }}
      proxy_pass http://{metrics}/metrics;
    }}
    location /inference.GRPCInferenceService/ {{
      if ($denied) {{ return 401; }}
      grpc_pass grpc://{grpc};
    }}
    location /moved/ {{ return 302 https://elsewhere.example/api/; }}
    location /page/ {{ default_type text/html; return 200 "<html><title>Hello</title></html>"; }}
    location /closed/ {{ return 403; }}
    location /away/ {{ proxy_pass http://127.0.0.1:9/; }}
  }}
"""


@dataclass
class Managed:
    """The endpoint.

    Attributes:
        project: whose server stands behind it.
        gateway: that stands before it.
        folder: of certificates and of the file with the header.
    """

    project: Project
    gateway: Gateway
    folder: Path

    @property
    def key(self) -> tuple[str, ...]:
        """The options that open it."""
        file = self.folder / "key.txt"
        return ("--ca", str(self.folder / "server.pem"), "--header-file", str(file))

    def url(self, path: str = "/api/projects/x") -> str:
        return f"https://localhost:{self.gateway.port}{path}"

    @property
    def grpc(self) -> str:
        return f"grpcs://localhost:{self.gateway.port}"

    def probe(self, url: str, *load: str) -> dict[str, Any]:
        """A short probe of one model."""
        words = ("probe", "-u", url, "-m", "dense", "--duration", "1", *self.key)
        return self.project.json(*words, *(load or ("--concurrency", "2")))


@pytest.fixture(scope="module")
def managed(served: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    folder = tmp_path_factory.mktemp("managed")
    cert, key = certificate(folder, "server")
    certificate(folder, "stranger")
    header = folder / "key.txt"
    header.write_text(f"Authorization: Bearer {TOKEN}\n")
    header.chmod(0o600)
    ends = served.state()["endpoints"]
    content = CONTENT.format(token=TOKEN, certificate=cert, key=key, **ends)
    with nginx(folder / "nginx", content) as gateway:
        yield Managed(served, gateway, folder)


def test_probe_over_https_with_a_path_and_a_token(managed: Managed):
    document = managed.probe(managed.url())
    environment, (level,) = document["environment"], document["levels"]
    assert level["requests"]["failed"] == 0
    assert level["requests"]["ok"] > 20
    assert level["server"]["executions"] > 0
    assert environment["endpoint"] == f"https localhost:{managed.gateway.port}/api/projects/x"
    assert environment["headers"] == ["Authorization"]
    assert managed.gateway.asked(f"/api/projects/x{INFER}") >= level["requests"]["ok"]


def test_no_output_holds_the_secret(managed: Managed):
    project, header = managed.project, f"Authorization: Bearer {TOKEN}"
    words = ("probe", "-u", managed.url(), "--ca", str(managed.folder / "server.pem"))
    short = ("-m", "dense", "--request-count", "20", "-vv")
    told = []
    for name in ("page.html", "probe.json"):
        ran = project.run(*words, *short, "--header", header, "-o", name)
        told += [ran.out, ran.err, (project.folder / name).read_text()]
    ran = project.run(*words, *short, TRITONGEN_TOKEN=TOKEN)
    told += [ran.out, ran.err, (project.folder / ".tritongen/tritongen.log").read_text()]
    assert "Authorization: ***" in told[2]
    assert TOKEN not in "".join(told)


def test_verify_status_and_observe(managed: Managed):
    project, words = managed.project, ("-u", managed.url(), *managed.key)
    verified = project.json("verify", *words)["models"]
    assert {one["name"]: one["verdict"] for one in verified} == dict.fromkeys(SERVED, "equal")
    status = project.json("status", *words)
    assert status["endpoints"]["http"] == f"localhost:{managed.gateway.port}/api/projects/x"
    assert {one["name"] for one in status["models"] if one["ready"]} == set(SERVED)
    observed = project.json("observe", *words, "--for", "1s")["models"]
    assert {one["name"] for one in observed} >= set(SERVED)
    numbers = ("-u", managed.url("/api/numbers"), *managed.key)
    observed = project.json("observe", *numbers, "--for", "1s")["models"]
    assert {one["name"] for one in observed} >= set(SERVED)


@pytest.mark.parametrize("more", [(), ("--streaming",)], ids=["unary", "streams"])
def test_probe_over_grpc_with_tls_and_a_token(managed: Managed, more: tuple[str, ...]):
    document = managed.probe(managed.grpc, *more)
    (level,) = document["levels"]
    assert level["protocol"] == "grpc"
    assert level["requests"]["failed"] == 0
    assert level["requests"]["ok"] > 20
    assert document["environment"]["headers"] == ["Authorization"]


def test_verify_compares_every_replica(managed: Managed):
    here = managed.project.state()["endpoints"]["http"]
    urls = f"{here},localhost:{here.rpartition(':')[2]}"
    verified = managed.project.json("verify", "-u", urls)["models"]
    assert sorted(one["name"] for one in verified) == sorted([*SERVED, *SERVED])
    # Both names are the project's own server.
    assert {(one["server"], one["verdict"]) for one in verified} == {(here, "equal")}
    out = managed.project.run("verify", "-u", urls).out
    assert out.startswith("server ")
    gone = managed.project.error("verify", "-u", f"{here},127.0.0.1:9", expect=3)
    assert (gone["code"], gone["where"]) == ("TG814", "127.0.0.1:9")


def test_verify_over_grpc(managed: Managed):
    verified = managed.project.json("verify", "-u", managed.grpc, *managed.key)["models"]
    assert {one["name"]: one["verdict"] for one in verified} == dict.fromkeys(SERVED, "equal")


@pytest.mark.parametrize("protocol", ["https", "grpcs"])
def test_no_verification_means_the_same_over_both_protocols(managed: Managed, protocol: str):
    url = managed.url() if protocol == "https" else managed.grpc
    words = ("probe", "-u", url, "-m", "dense", "--request-count", "10", "--concurrency", "1")
    secret = ("--header-file", str(managed.folder / "key.txt"))
    refused = managed.project.error(*words, *secret, expect=3)
    assert refused["code"] == "TG834"
    assert "certificate" in refused["message"]
    document = managed.project.json(*words, *secret, "--insecure")
    assert document["levels"][0]["requests"]["ok"] == 10


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("load", [("--concurrency", "4"), ("--rate", "200"), ("--processes", "2")])
def test_a_level_ends_with_its_requests(managed: Managed, count: int, load: tuple[str, ...]):
    path = f"/api/projects/x{INFER}"
    before = managed.gateway.asked(path)
    words = ("probe", "-u", managed.url(), "-m", "dense", "--request-count", str(count), *load)
    (level,) = managed.project.json(*words, *managed.key)["levels"]
    assert (level["requests"]["sent"], level["requests"]["ok"]) == (count, count)
    # One more is looked at before the level.
    assert managed.gateway.asked(path) - before == count + 1
    if level["throughput_per_s"] is not None:
        rate = count / level["duration_s"]
        assert level["throughput_per_s"]["value"] == pytest.approx(rate, rel=0.02)


def test_requests_beyond_the_limit_are_counted(managed: Managed):
    document = managed.probe(managed.url(LIMITED), "--rate", "300")
    (level,) = document["levels"]
    assert set(level["requests"]["failures_by_code"]) == {"HTTP 429"}
    assert level["requests"]["ok"] > 0
    assert "429 Too Many Requests, Retry-After: 7" in level["requests"]["examples"]["HTTP 429"]
    assert any("ask less with --rate" in one["sentence"] for one in level["advice"])


def test_a_proxy_that_loses_its_server_now_and_then_is_counted(managed: Managed):
    (level,) = managed.probe(managed.url("/api/projects/bursts"))["levels"]
    requests = level["requests"]
    assert set(requests["failures_by_code"]) == {"HTTP 502"}
    assert requests["failed"] / requests["sent"] == pytest.approx(1 / 41, abs=0.02)
    assert "502 Bad Gateway" in requests["examples"]["HTTP 502"]


COMMANDS = {
    "probe": ("probe", "-m", "dense", "--duration", "1"),
    "verify": ("verify",),
    "status": ("status",),
    "observe": ("observe", "--for", "1s"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("path", "codes", "words"),
    [
        ("/moved", {"TG839", "TG902", "TG980"}, "redirects to https://elsewhere.example/api/"),
        ("/page", {"TG839", "TG902", "TG980"}, "HTML"),
        ("/closed", {"TG861"}, "403 Forbidden"),
        ("/away", {"TG814", "TG901", "TG980"}, "502 Bad Gateway"),
        ("/api/projects/x", {"TG861"}, "401 Authorization Required"),
    ],
)
def test_what_stands_between_is_told(
    managed: Managed, command: str, path: str, codes: set[str], words: str
):
    asked = (
        *COMMANDS[command],
        "-u",
        managed.url(path),
        "--ca",
        str(managed.folder / "server.pem"),
    )
    problem = managed.project.error(*asked, expect=3)
    assert problem["code"] in codes
    assert words in problem["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_certificate_of_a_stranger_is_told(managed: Managed, command: str):
    asked = (*COMMANDS[command], "-u", managed.url(), "--ca", str(managed.folder / "stranger.pem"))
    problem = managed.project.error(*asked, expect=3)
    assert problem["code"] == "TG834"
    assert "certificate" in problem["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_token_that_is_wrong_is_told(managed: Managed, command: str):
    for url in (managed.url(), managed.grpc):
        asked = (*COMMANDS[command], "-u", url, "--ca", str(managed.folder / "server.pem"))
        problem = managed.project.error(*asked, expect=3, TRITONGEN_TOKEN="wrong-4711")  # noqa: S106
        assert (problem["code"], "wrong-4711" in str(problem)) == ("TG861", False)
        assert "TRITONGEN_TOKEN" in problem["fix"]


def test_a_path_that_every_request_adds_by_itself_is_told(managed: Managed):
    for command in COMMANDS.values():
        for path in ("/api/projects/x/v2", "/api/projects/x/v2/models/dense/infer"):
            problem = managed.project.error(*command, "-u", managed.url(path), expect=2)
            assert problem["code"] == "TG304"
            assert "Leave /v2" in problem["fix"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_of_grpc_is_none_of_http(managed: Managed, command: str):
    grpc = managed.project.state()["endpoints"]["grpc"]
    problem = managed.project.error(*COMMANDS[command], "-u", f"http://{grpc}", expect=3)
    assert problem["code"] in {"TG839", "TG902", "TG980"}
    assert "HTTP/2 alone" in problem["message"]


def test_an_expired_certificate_is_told(managed: Managed, tmp_path: Path):
    cert, key = certificate(tmp_path, "old")
    expire(cert, key)
    server = f"listen 127.0.0.1:PORT ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};"
    with nginx(tmp_path / "nginx", f"server {{ {server} return 200; }}") as gateway:
        for scheme in ("https", "grpcs"):
            asked = ("-u", f"{scheme}://localhost:{gateway.port}", "--ca", str(cert))
            problem = managed.project.error("probe", *asked, expect=3)
            assert problem["code"] == "TG834"
            assert "certificate has expired" in problem["message"]
