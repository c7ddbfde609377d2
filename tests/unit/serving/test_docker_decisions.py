"""What is made of an engine's and an image's answers: facts, findings, codes of refusals."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Severity, finding
from tritongen.serving import up
from tritongen.serving.docker import docker_engine, docker_preflight
from tritongen.serving.docker.images import ImageFacts, describe, pull
from tritongen.serving.orphans import FoundServer
from tritongen.serving.protocol import RuntimeName, ServerSpec
from tritongen.system.gpus import CardMemory
from tritongen.triton.server_state import project_label

TOLD = "NVIDIA_TRITON_SERVER_VERSION=26.07"


class Engine:
    """Answers with what a test gives it."""

    def __init__(self, attributes: object = None, architecture: str = "amd64") -> None:
        self.attributes = attributes
        self.architecture = architecture

    def image(self, _reference: str) -> object:
        return self.attributes

    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(architecture=self.architecture)


def image(*variables: str, architecture: str = "amd64", **labels: str) -> dict[str, object]:
    named = {f"tritongen.image.{key.replace('_', '-')}": text for key, text in labels.items()}
    return {"Architecture": architecture, "Config": {"Env": list(variables), "Labels": named}}


@pytest.mark.parametrize(
    ("attributes", "facts"),
    [
        (None, None),
        ({}, ImageFacts("", entry=False)),
        ({"Config": None, "Architecture": "arm64"}, ImageFacts("arm64", entry=False)),
        (image("NVIDIA_TRITON_SERVER_VERSION=26.07"), ImageFacts("amd64", "26.07")),
        (image("NVIDIA_TRITON_SERVER_VERSION=26.7x"), ImageFacts("amd64")),
        (image("TRITON_SERVER_VERSION=2.71.0"), ImageFacts("amd64", server="2.71.0")),
        (image("PATH=/bin"), ImageFacts("amd64", entry=False)),
        (image(backends="a b"), ImageFacts("amd64", backends=frozenset({"a", "b"}))),
        (
            image(TOLD, python_backends="python vllm"),
            ImageFacts("amd64", "26.07", python_backends=frozenset({"python", "vllm"})),
        ),
    ],
)
def test_what_an_image_says_of_itself(attributes, facts):
    assert describe(Engine(attributes), "i:1") == facts


def spec_for(tmp_path, *backends: str, release: str = "") -> ServerSpec:
    return ServerSpec(
        repository=tmp_path, models=("m",), log=tmp_path / "log", project=tmp_path,
        label=project_label(tmp_path), image="own:1", backends=backends, release=release,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "architecture", "release", "codes"),
    [
        (image(TOLD), "amd64", "26.07", {"TG854"}),
        (image(TOLD), "amd64", "", {"TG854"}),
        (image(TOLD), "amd64", "26.06", {"TG854", "TG844"}),
        (image(TOLD), "arm64", "26.07", {"TG854", "TG851"}),
        (image(TOLD), "", "26.07", {"TG854"}),
        (image(TOLD, architecture=""), "arm64", "26.07", {"TG854"}),
        (image(), "amd64", "26.07", {"TG854", "TG849"}),
        (image(TOLD, backends="onnxruntime python"), "amd64", "", {"TG854"}),
        (image(TOLD, backends="python"), "amd64", "", {"TG854", "TG843"}),
    ],
)
def test_whether_an_image_fits(tmp_path, attributes, architecture, release, codes):
    spec = spec_for(tmp_path, "onnxruntime", "ensemble", "", release=release)
    found = docker_preflight.image_findings(spec, Engine(attributes, architecture))
    assert {item.code for item in found} - {"TG859"} == codes


def test_an_image_that_is_not_here_is_asked_for(tmp_path):
    asked = []

    class Client:
        images = SimpleNamespace(get_registry_data=asked.append)

    engine = Engine(None)
    engine.client = Client
    (found,) = docker_preflight.image_findings(spec_for(tmp_path), engine)
    assert (found.code, found.severity) == ("TG854", Severity.INFO)
    assert "it is not here yet and will be pulled" in found.message
    assert asked == ["own:1"]


@pytest.mark.parametrize(
    ("info", "gpus", "missing"),
    [
        ({}, False, ()),
        ({"Runtimes": None, "DiscoveredDevices": []}, False, ()),
        ({"Runtimes": {"runc": {}}}, False, ()),
        ({"Runtimes": {"nvidia": {}}}, True, ()),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": [1]}, True, ()),
        ({"MemoryLimit": False, "CPUSet": True, "CpuCfsQuota": None}, False, ("memory",)),
    ],
)
def test_an_engine_s_facts(info, gpus, missing):
    found = docker_engine._facts(info, {"Arch": "amd64"}, local=True)
    assert (found.gpus, found.missing, found.cpus, found.memory_bytes) == (gpus, missing, 1, 0)


@pytest.mark.parametrize(
    ("host", "context", "address"),
    [
        ("unix:///a", SimpleNamespace(name="far", Host="ssh://b"), ""),
        ("", SimpleNamespace(name="default", Host="ssh://b"), ""),
        ("", SimpleNamespace(name="far", Host="ssh://b"), "ssh://b"),
        ("", SimpleNamespace(name="far", Host=None), ""),
    ],
)
def test_the_engine_is_the_variable_s_else_the_context_s(monkeypatch, host, context, address):
    from docker.context import ContextAPI

    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setattr(ContextAPI, "get_current_context", lambda: context)
    assert docker_engine._context_host() == address


def test_a_context_that_does_not_exist_is_told(monkeypatch):
    from docker.context import ContextAPI

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    monkeypatch.setattr(ContextAPI, "get_context", lambda _name: None)
    with pytest.raises(EnvironmentProblem, match="there is no Docker context 'gone'"):
        docker_engine._context_host()


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError("refused"), "TG840"),
        (PermissionError("no"), "TG841"),
        (OSError("x: Permission denied"), "TG841"),
        (caused(OSError("x"), PermissionError("no")), "TG841"),
        (caused(OSError("x"), ValueError("y")), "TG840"),
    ],
)
def test_a_socket_that_may_not_be_used_is_told_apart(error, code):
    assert docker_engine._unreachable(error).code == code


def pulled(*events: dict[str, object], told: list[tuple[int, int]] | None = None) -> None:
    client = SimpleNamespace(api=SimpleNamespace(pull=lambda _reference, **_options: iter(events)))
    pull(
        client,
        "i:1",
        lambda _what, done, total: told.append((done, total)) if told is not None else None,
    )


def test_layers_that_are_pulled_add_up():
    told: list[tuple[int, int]] = []
    pulled(
        {"status": "Pulling", "id": "a"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 3, "total": 10}},
        {"status": "Downloading", "id": "b", "progressDetail": {}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 1, "total": 5}},
        {"status": "Extracting", "id": "a", "progressDetail": {"current": 9, "total": 90}},
        {"status": "Download complete", "id": "a"},
        {"status": "Pull complete", "id": "c"},
        told=told,
    )  # fmt: skip
    assert told == [(3, 10), (3, 10), (4, 15), (4, 15), (11, 15), (11, 15)]


@pytest.mark.parametrize(
    ("error", "code"),
    [("write /x: no space left on device", "TG005"), ("manifest unknown", "TG842")],
)
def test_why_an_image_cannot_be_pulled(error, code):
    with pytest.raises(EnvironmentProblem) as caught:
        pulled({"error": error})
    assert (caught.value.code, caught.value.where) == (code, "i:1")


def status(name: str, *, ready: bool, code: str = "TG821") -> up.ModelStatus:
    return up.ModelStatus(name, ready=ready, reason="" if ready else "broken", code=code)


READY, BROKEN, ALSO = status("a", ready=True), status("b", ready=False), status("c", ready=False)
SERVER = SimpleNamespace(state=SimpleNamespace(log="log"))


@pytest.mark.parametrize(
    ("models", "keep_going"), [((READY,), False), ((READY, BROKEN), True), ((), False)]
)
def test_models_that_may_stay_unready(models, keep_going):
    up._refuse_unready(models, SERVER, keep_going=keep_going)


@pytest.mark.parametrize(
    ("models", "keep_going", "details"),
    [
        ((READY, BROKEN), False, (up._WAYS_ON,)),
        ((READY, BROKEN, ALSO), False, ("c: broken [TG821]", up._WAYS_ON)),
        ((BROKEN, ALSO), True, ("c: broken [TG821]",)),
        ((BROKEN,), False, ()),
    ],
)
def test_models_that_do_not_serve_are_refused(models, keep_going, details):
    with pytest.raises(EnvironmentProblem) as caught:
        up._refuse_unready(models, SERVER, keep_going=keep_going)
    assert (caught.value.code, caught.value.where) == ("TG821", "log")
    assert caught.value.what == "b does not serve: broken"
    assert tuple(caught.value.details) == details
    with pytest.raises(EnvironmentProblem) as caught:
        up._refuse_unready((replace(BROKEN, code=""),), SERVER, keep_going=False)
    assert caught.value.code == "TG820"


def test_only_errors_refuse_and_the_others_are_details():
    from tritongen.errors import InvalidInputError

    warning = finding("TG310", Severity.WARNING, "w")
    up._refuse((warning,), InvalidInputError)
    errors = [finding("TG318", Severity.ERROR, text, model="m") for text in ("one", "two")]
    with pytest.raises(InvalidInputError) as caught:
        up._refuse((warning, *errors), InvalidInputError, "another way")
    assert caught.value.code == "TG318"
    assert "one" in caught.value.what
    told = tuple(caught.value.details)
    assert "two [TG318]" in told[0]
    assert told[-1] == "another way"


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (None, "TG840", ("d", "runtime docker: why")),
        (RuntimeName.DOCKER, "TG840", ("d",)),
        (None, next(iter(sorted(up._NOT_THE_RUNTIME))), ("d",)),
    ],
)
def test_who_asked_for_no_runtime_learns_which_one_failed(asked, code, told):
    chosen = SimpleNamespace(name=RuntimeName.DOCKER, reason="why")
    with (
        pytest.raises(EnvironmentProblem) as caught,
        up._told_of(chosen, up.UpOptions(runtime=asked)),
    ):
        raise EnvironmentProblem(code, "no", details=["d"])
    assert tuple(caught.value.details) == told


@pytest.mark.parametrize(
    ("owned", "running", "orphaned"),
    [(True, True, False), (True, False, False), (False, True, True), (False, False, True)],
)
def test_a_server_that_nobody_owns(tmp_path, owned, running, orphaned):
    found = FoundServer("0" * 16, "l", tmp_path, owned, running=running)
    assert found.orphaned is orphaned


class Socket:
    """The quick way to an engine, with what it answers by path."""

    def __init__(self, **answers: object) -> None:
        self.answers = {path.replace("_", "/"): said for path, said in answers.items()}
        self.agreed = ""

    def get(self, path: str, **_query: object) -> object:
        return self.answers.get(path)

    def agree(self, version: str) -> None:
        self.agreed = version


def engine_on(monkeypatch, socket: Socket | None) -> docker_engine.DockerEngine:
    monkeypatch.setattr(docker_engine, "usual_socket", lambda: socket)
    monkeypatch.setattr(docker_engine, "_connect", lambda: "the package")
    monkeypatch.setattr(docker_engine, "_asked_facts", lambda client: f"asked of {client}")
    monkeypatch.setattr(docker_engine, "_context_host", lambda: "context")
    return docker_engine.DockerEngine()


def test_an_engine_on_its_usual_socket_is_asked_there(monkeypatch):
    socket = Socket(
        _version={"ApiVersion": "1.47", "Version": "27"}, _info={"NCPU": 3},
        _containers_json=[], _containers_c_json={"State": {"Status": "running"}},
        _images_i_json={"Id": "x"},
    )  # fmt: skip
    engine = engine_on(monkeypatch, socket)
    assert (engine.host(), engine.image("i")) == ("", {"Id": "x"})
    assert (engine.facts().version, engine.facts().cpus) == ("27", 3)
    assert socket.agreed == "1.47"
    assert engine.holds_none(["l"])
    assert (engine.status("c"), engine.status("gone")) == ("running", "")


@pytest.mark.parametrize(
    "socket",
    [None, Socket(), Socket(_version={"ApiVersion": "1"}), Socket(_version={}, _info={}),
     Socket(_version=[], _info={})],
)  # fmt: skip
def test_what_the_socket_does_not_say_the_package_finds_out(monkeypatch, socket):
    engine = engine_on(monkeypatch, socket)
    assert engine.facts() == "asked of the package"
    assert engine.host() == "context", "the package alone is asked from now on"
    assert engine.status("c") == ""
    assert not engine.holds_none(["l"]), "in doubt there are some"


MIB = 2**20


@pytest.mark.parametrize(
    ("needed", "planned", "gpu", "severity", "words"),
    [
        ((9000 * MIB,), "T4", CardMemory("Tesla T4", 15360 * MIB, 8000 * MIB), "error",
         "the models need 9000 MiB on GPU 0 (Tesla T4), which has 8000 of 15360 MiB left"),
        ((9000 * MIB,), "L4", CardMemory("Tesla T4", 15360 * MIB, 14000 * MIB), "warning",
         "planned for L4, GPU 0 is Tesla T4"),
        ((9000 * MIB,), "T4", CardMemory("Tesla T4", 15360 * MIB, 14000 * MIB), None, ""),
        ((9000 * MIB,), "", CardMemory("Tesla V100", 15360 * MIB, 14000 * MIB), None, ""),
        ((), "T4", CardMemory("Tesla T4", 15360 * MIB, 100 * MIB), None, ""),
    ],
)  # fmt: skip
def test_the_card_that_is_here_is_held_against_the_plan(
    needed, planned, gpu, severity, words, tmp_path
):
    spec = replace(spec_for(tmp_path), gpus=1, gpu_bytes=needed, gpu_name=planned)
    found = list(docker_preflight.gpu_findings(spec, (gpu,)))
    assert [(item.code, item.severity, item.message) for item in found] == (
        [("TG160", severity, words)] if severity else []
    )
