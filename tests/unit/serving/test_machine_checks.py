"""What stands in the way of a server, with its code: cores, memory, GPUs, ports, files, disks."""

import os
import shutil
import socket
from dataclasses import replace

import pytest

from tritongen.errors import EnvironmentProblem, ExitCode
from tritongen.model.cores import CpuReading
from tritongen.model.findings import Severity, finding
from tritongen.serving import doctor
from tritongen.serving.docker import docker_preflight, docker_server
from tritongen.serving.docker.docker_engine import EngineFacts
from tritongen.serving.doctor import Check, Diagnosis
from tritongen.serving.embedded import embedded_preflight
from tritongen.serving.preflight import (
    endpoints,
    is_loopback,
    network_findings,
    ports_of,
    refuse_taken,
    repository_findings,
    weakness_findings,
)
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.triton.server import Endpoints, RuntimeName
from tritongen.triton.server_state import project_label


@pytest.fixture(name="spec")
def spec_of_a_model(tmp_path) -> ServerSpec:
    (tmp_path / "m/1").mkdir(parents=True)
    return ServerSpec(
        repository=tmp_path, models=("m",), log=tmp_path / "log", project=tmp_path,
        label=project_label(tmp_path), ports=Ports(0, 0, 0),
    )  # fmt: skip


def codes(found) -> list[str]:
    return [item.code for item in found]


FACTS = EngineFacts(version="29", cpus=4, memory_bytes=1 << 30, gpus=False, architecture="amd64",
                    local=True, missing=())  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"cores": 4}, []),
        ({"cores": 5}, ["TG316"]),
        ({"cpuset": (3,)}, []),
        ({"cpuset": (4,)}, ["TG316"]),
        ({"memory_bytes": 1 << 30}, []),
        ({"memory_bytes": (1 << 30) + 1}, ["TG311"]),
        ({"shared_memory_bytes": 512 << 20, "memory_bytes": 1 << 30}, []),
        ({"shared_memory_bytes": (512 << 20) + 1, "memory_bytes": 1 << 30}, ["TG818"]),
        ({"gpus": 1}, ["TG826"]),
    ],
)
def test_what_the_engine_s_machine_does_not_have(spec, changes, found):
    assert codes(docker_preflight.resource_findings(replace(spec, **changes), FACTS)) == found


def test_an_engine_with_gpus_elsewhere_and_one_that_cannot_limit(spec):
    asked = replace(spec, gpus=1)
    assert codes(docker_preflight.resource_findings(asked, replace(FACTS, gpus=True))) == []
    assert codes(docker_preflight.engine_findings(FACTS)) == []
    other = replace(FACTS, local=False, missing=("memory", "CPUs"))
    assert codes(docker_preflight.engine_findings(other)) == ["TG850", "TG848", "TG848"]


@pytest.mark.parametrize(
    ("mode", "user", "readable"),
    [
        (0o604, "1000:1000", True),
        (0o640, "1000:1000", False),
        (0o640, "1000:{gid}", True),
        (0o400, "{uid}:1000", True),
        (0o044, "{uid}:1000", False),
        (0o604, "1000:{gid}", False),
        (0o000, "0:0", True),
        (0o000, "name", True),
        (0o604, "1000", True),
    ],
)
def test_files_that_the_container_s_user_cannot_read(spec, mode, user, readable):
    path = spec.repository / "m/1/model.onnx"
    path.touch()
    os.chown(path, 4321, 4322)
    path.chmod(mode)
    for folder in (spec.repository, spec.repository / "m", spec.repository / "m/1"):
        folder.chmod(0o777)
    numbers = {"uid": 4321, "gid": 4322}
    hidden = list(docker_preflight._hidden(spec.repository, user.format(**numbers)))
    assert hidden == ([] if readable else [path])


def test_a_folder_must_be_entered_and_of_many_three_are_named(spec):
    for folder in (spec.repository, spec.repository / "m", spec.repository / "m/1"):
        folder.chmod(0o755)
    (spec.repository / "m").chmod(0o754)
    assert list(docker_preflight._hidden(spec.repository, "1:1")) == [spec.repository / "m"]
    for number in range(4):
        (spec.repository / f"m/{number}.txt").touch(mode=0o600)
    (found,) = docker_preflight.mount_findings(replace(spec, user="12345:12345"))
    assert (found.code, found.message.endswith(" and 2 more")) == ("TG847", True)


@pytest.mark.parametrize(
    ("end", "log", "code", "words"),
    [
        (None, "", "TG812", "the container is gone"),
        ({"ExitCode": 137, "OOMKilled": True}, "", "TG813", "lack of memory"),
        ({"ExitCode": 0, "OOMKilled": True}, "", "TG810", "the server ended"),
        ({"ExitCode": 143}, "", "TG812", "the server was ended by SIGTERM"),
        ({"ExitCode": 1}, "failed to stat file /models", "TG831", "failed to stat file /models"),
        ({"ExitCode": 1, "Error": "no such user"}, "x", "TG810", "no such user"),
        ({"ExitCode": 1}, "x", "TG810", "x"),
        ({"ExitCode": 127}, "", "TG810", "the server ended"),
    ],
)
def test_how_a_container_ended(end, log, code, words):
    found, what = docker_server._cause(end, log, "TG810")
    assert (found, words in what) == (code, True)


@pytest.mark.parametrize(
    ("number", "name"), [(129, "SIGHUP"), (137, "SIGKILL"), (128, ""), (1, "")]
)
def test_an_exit_code_above_128_is_a_signal(number, name):
    assert docker_server._signal_of(number) == name


@pytest.mark.parametrize(
    ("host", "version", "warned"),
    [
        ("127.0.0.1", "24.01", False),
        ("0.0.0.0", "24.01", True),  # noqa: S104  (looked at only)
        ("::1", "24.01", False),
        ("localhost", "24.01", False),
        ("0.0.0.0", "26.07", False),  # noqa: S104  (as above)
        ("0.0.0.0", "9.9.9", False),  # noqa: S104  (as above)
    ],
)
def test_a_weak_release_is_told_of_where_others_reach_it(spec, host, version, warned):
    found = list(weakness_findings(replace(spec, host=host), version))
    assert bool(found) is warned
    assert is_loopback(host) is (host != "0.0.0.0")  # noqa: S104  (compared only)


def test_a_repository_that_cannot_be_served(spec, tmp_path):
    assert codes(repository_findings(spec)) == []
    absent = replace(spec, repository=tmp_path / "absent")
    assert [item.message for item in repository_findings(absent)] == [
        "model repository does not exist"
    ]
    lost = replace(spec, models=("m", "n"))
    assert [(item.model, item.message) for item in repository_findings(lost)] == [
        ("n", "model has no folder")
    ]
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    (tmp_path / "m/1/model.onnx").write_text(pointer)
    assert codes(repository_findings(spec)) == ["TG102"]


def test_ports_and_addresses(spec):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = replace(spec, ports=Ports(server.getsockname()[1], 0, 0))
        assert codes(network_findings(taken)) == ["TG807"]
    assert codes(network_findings(replace(spec, host="192.0.2.1", ports=Ports(1, 2, 3)))) == [
        "TG814", "TG819",
    ]  # fmt: skip
    assert ports_of(endpoints("::1", Ports(1, 2, 3))) == Ports(1, 2, 3)
    refuse_taken(())
    one = finding("TG807", Severity.ERROR, "one is taken")
    with pytest.raises(EnvironmentProblem, match="one is taken") as caught:
        refuse_taken((one, replace(one, message="two is taken")))
    assert caught.value.details == ("two is taken",)


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([], ExitCode.OK),
        ([("x", Severity.WARNING)], ExitCode.OK),
        ([("repository.check", Severity.ERROR)], ExitCode.FINDINGS),
        ([("repository.check", Severity.ERROR), ("cpus", Severity.ERROR)], ExitCode.ENVIRONMENT),
        ([("cpus", Severity.ERROR)], ExitCode.ENVIRONMENT),
    ],
)
def test_what_a_diagnosis_tells_its_caller(checks, code):
    made = tuple(Check(name, severity, "m") for name, severity in checks)
    assert Diagnosis(made, RuntimeName.EMBEDDED, "why").exit_code == code


def test_what_stands_in_the_way_of_another_runtime_is_a_warning():
    checks = [Check("a", Severity.ERROR, "m", code="TG806"), Check("b", Severity.INFO, "m")]
    assert [item.severity for item in doctor._as_needed(checks, True)] == [
        Severity.ERROR, Severity.INFO,
    ]  # fmt: skip
    assert [item.severity for item in doctor._as_needed(checks, False)] == [
        Severity.WARNING, Severity.INFO,
    ]  # fmt: skip


def test_the_words_of_a_machine_s_cores():
    assert doctor._cpu_words(CpuReading(8)) == "affinity 8, no quota"
    whole = CpuReading(8, physical=4, quota=1.5, cpuset=3)
    assert doctor._cpu_words(whole) == "affinity 8, physical 4, cpuset 3, quota 1.5"


def test_cores_memory_and_gpus_of_a_spec(spec):
    have = int(doctor._cpu_check(spec).message.partition(" ")[0])
    assert doctor._cpu_check(replace(spec, cores=have)).message.endswith(
        f", {have} are planned for"
    )
    assert doctor._cpu_check(replace(spec, cores=have)).ok
    assert doctor._cpu_check(replace(spec, cores=have + 1)).code == "TG316"
    memory, shared = doctor._memory_checks(replace(spec, memory_bytes=1 << 20))
    assert "1 MiB are planned for" in memory.message
    assert memory.ok
    assert shared.ok
    memory, shared = doctor._memory_checks(
        replace(spec, memory_bytes=1 << 60, shared_memory_bytes=1 << 60)
    )
    assert (memory.code, shared.code) == ("TG311", "TG818")


def test_room_and_permission_on_a_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    assert doctor._disk_check("d", tmp_path / "new/folder", 1).ok
    assert doctor._disk_check("d", tmp_path, free * 2).code == "TG005"


def test_ports_of_the_own_server_are_as_they_should_be(spec):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wanted = replace(spec, ports=Ports(port, 0, 0))
        own = Endpoints(f"127.0.0.1:{port}", "127.0.0.1:1", "127.0.0.1:2")
        (held,) = doctor._port_checks(wanted, own)
        assert (held.ok, held.message) == (True, "held by this project's own server")
        (taken,) = doctor._port_checks(wanted, None)
        assert taken.code == "TG807"
    (free,) = doctor._port_checks(wanted, None)
    assert free.message == f"{port}, any, any are free on 127.0.0.1"
    (foreign,) = doctor._port_checks(replace(wanted, host="192.0.2.1"), None)
    assert foreign.code == "TG814"


def test_a_backend_s_packages(spec):
    assert doctor._backend_check(spec, "python", needed=True).message.startswith("numpy ")
    assert doctor._backend_check(spec, "tensorrt", needed=True).code == "TG806"
    assert doctor._version("no_such_package") == "of unknown version"
    without = replace(spec, backends=("python", "", "ensemble", "tensorrt"), gpus=1)
    assert codes(embedded_preflight.backend_findings(without)) == ["TG806", "TG806"]


def test_a_finding_that_only_informs_has_no_fix():
    item = finding("TG701", Severity.INFO, "message")
    assert doctor._failed("n", item) == Check("n", Severity.INFO, "message")
    assert doctor._failed("n", replace(item, severity=Severity.ERROR), "m").message == "m: message"


def test_of_many_errors_ten_are_shown(spec):
    for number in range(11):
        folder = spec.repository / f"m{number}"
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text("bogus: 1")
    checks = [item for item in doctor._lint_checks(spec.repository) if not item.ok]
    assert len(checks) >= 11
    assert "more errors; `tritongen check` names them" in checks[10].message
