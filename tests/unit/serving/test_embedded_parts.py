"""Command, environment, layout and preflight of the embedded runtime."""

import os
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from support.triton import server_spec
from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Severity
from tritongen.serving.embedded import layout as layout_module
from tritongen.serving.embedded.embedded_preflight import findings, machine_findings
from tritongen.serving.embedded.fetch import TritonHome, check_machine
from tritongen.serving.embedded.launch import command, cpus_for, environment
from tritongen.serving.embedded.layout import TritonLayout, build_layout, find_libpython
from tritongen.serving.protocol import ModelControl, Ports
from tritongen.serving.runtimes import choose_runtime
from tritongen.serving.server_spec import UpOptions
from tritongen.triton.server import ApiKeys, RuntimeName

HOME = TritonHome(Path("/home/triton"))
LAYOUT = TritonLayout(HOME, Path("/layout"), Path("/venv/bin"))
PORTS = Ports(1, 2, 3)


@pytest.fixture
def spec(tmp_path):
    repository = tmp_path / "models"
    (repository / "m").mkdir(parents=True)

    def make(**options):
        return server_spec(repository, tmp_path / "project", **options)

    return make


def arguments(made) -> list[str]:
    return command(replace(made, ports=PORTS), LAYOUT, "abc", ApiKeys.new())


def test_the_command_is_safe_as_delivered(spec):
    line = arguments(spec())
    assert line[0] == str(HOME.executable)
    for expected in (
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        "--http-port=1",
        "--grpc-port=2",
        "--metrics-port=3",
        "--model-control-mode=none",
        "--exit-on-error=false",
        "--backend-config=python,shm-region-prefix-name=tritongen_abc_",
    ):
        assert expected in line
    for flag in ("--http-restricted-api", "--grpc-restricted-protocol"):
        closed = [word.partition(":")[0] for word in line if word.startswith(flag)]
        assert closed == [f"{flag}=shared-memory,model-repository", f"{flag}=trace,logging"]
    assert not any(word.startswith("--load-model") for word in line)


def test_each_key_opens_one_group_of_one_server(spec):
    made = spec()
    keys = [word.rpartition("=")[2] for word in arguments(made) + arguments(made) if ":" in word]
    assert len(set(keys)) == 4
    assert all(len(key) == 32 for key in keys)


def test_explicit_control_loads_the_expected_models(spec):
    line = arguments(spec(model_control=ModelControl.EXPLICIT, auto_complete=False))
    assert "--model-control-mode=explicit" in line
    assert "--load-model=m" in line
    assert "--disable-auto-complete-config" in line


def test_flags_of_the_plan_are_passed_on(spec):
    line = arguments(
        spec(flags=(("rate-limit", "execution_count"), ("http-restricted-api", "x:y=z")))
    )
    assert "--rate-limit=execution_count" in line
    assert [word for word in line if "http-restricted-api" in word] == [
        "--http-restricted-api=x:y=z"
    ]


def test_the_environment_is_the_plan_s_and_little_more(spec, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = environment(spec(environment=(("MKL_NUM_THREADS", "2"),)), LAYOUT, "abc")
    assert variables["MKL_NUM_THREADS"] == "2"
    assert variables["PATH"].split(":")[0] == "/venv/bin"
    assert variables["LD_LIBRARY_PATH"] == f"/layout/lib:{HOME.libraries}"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert variables["ORT_DISABLE_TELEMETRY"] == "1"
    assert variables["TRITONGEN_SERVER"] == "abc"
    for name in ("AWS_SECRET_ACCESS_KEY", "OMP_NUM_THREADS", "PYTHONPATH"):
        assert name not in variables
    given = environment(spec(passed=("AWS_SECRET_ACCESS_KEY",)), LAYOUT, "abc")
    assert given.get("AWS_SECRET_ACCESS_KEY") == "x"


def test_cpus(spec):
    mine = sorted(os.sched_getaffinity(0))
    assert cpus_for(spec()) == frozenset()
    assert cpus_for(spec(cores=len(mine))) == frozenset()
    assert cpus_for(spec(cores=len(mine) + 1)) == frozenset()
    assert cpus_for(spec(cpuset=(mine[-1], 4095))) == {mine[-1]}
    assert cpus_for(spec(cores=1)) == (frozenset() if len(mine) == 1 else {mine[0]})


def test_this_machine_can_run_it():
    check_machine()
    assert [item for item in machine_findings() if item.severity is Severity.ERROR] == []


def test_another_system_or_c_library_is_refused(monkeypatch):
    other = os.uname_result(("Linux", "host", "6.1", "#1", "aarch64"))
    monkeypatch.setattr("os.uname", lambda: other)
    with pytest.raises(EnvironmentProblem, match="aarch64") as caught:
        check_machine()
    assert caught.value.code == "TG803"
    assert machine_findings()[0].code == "TG803"
    monkeypatch.undo()
    monkeypatch.setattr("os.confstr", lambda _: "glibc 2.31")
    with pytest.raises(EnvironmentProblem, match=r"glibc 2\.31"):
        check_machine()


def fake_home(tmp_path, *minors: int) -> TritonHome:
    home = TritonHome(tmp_path / "home")
    home.python_backend.mkdir(parents=True)
    (home.python_backend / "triton_python_backend_utils.py").write_text("# utilities\n")
    for minor in minors:
        home.stub(minor).parent.mkdir(parents=True)
        home.stub(minor).write_bytes(f"wants libpython3.{minor}.so.1.0".encode())
    return home


def test_a_layout_holds_backends_stub_and_python(tmp_path):
    minor = sys.version_info.minor
    home = fake_home(tmp_path, minor)
    built = build_layout(home, tmp_path / "cache")
    assert os.access(built.backends / "python" / "triton_python_backend_stub", os.X_OK)
    assert (built.backends / "onnxruntime" / "model.py").is_file()
    assert (built.backends / "onnxruntime" / "ort_backend" / "model.py").is_file()
    assert (built.libraries / f"libpython3.{minor}.so.1.0").resolve() == find_libpython()
    assert (built.python_folder / "python3").exists()
    # Built once, beside and renamed.
    before = built.folder.stat().st_ino
    assert build_layout(home, tmp_path / "cache") == built
    assert built.folder.stat().st_ino == before
    assert [path.name for path in built.folder.parent.iterdir()] == [built.folder.name]


def test_another_triton_has_another_layout(tmp_path):
    minor = sys.version_info.minor
    one = build_layout(fake_home(tmp_path / "a", minor), tmp_path / "cache")
    two = build_layout(fake_home(tmp_path / "b", minor), tmp_path / "cache")
    assert one.folder != two.folder


def as_python(monkeypatch, minor: int, *builtins: str) -> None:
    """Has this process seem to be Python 3.`minor`, with modules in the program itself."""
    version = namedtuple("version", "major minor micro releaselevel serial")
    monkeypatch.setattr("sys.version_info", version(3, minor, 0, "final", 0))
    monkeypatch.setattr("sys.builtin_module_names", builtins)


@pytest.mark.parametrize("minor", [10, 14, 15])
def test_a_python_without_a_stub_is_left_to_docker(spec, tmp_path, monkeypatch, minor):
    as_python(monkeypatch, minor)
    with pytest.raises(EnvironmentProblem, match=rf"Python 3\.{minor}$") as caught:
        build_layout(fake_home(tmp_path, minor), tmp_path / "cache")
    assert caught.value.code == "TG803"
    assert "Python 3.11 to 3.13" in caught.value.fix
    assert codes(spec()) == ["TG803"]
    chosen = choose_runtime(spec(), UpOptions(runtime=None))
    assert chosen.name is RuntimeName.DOCKER
    assert f"Python 3.{minor}" in chosen.reason


@pytest.mark.parametrize(
    ("minor", "builtins", "found"),
    [
        (13, ("sys", "time"), []),  # the wheel's own libpython will do
        (13, ("sys", "time", "_datetime", "_struct", "math"), ["TG804"]),  # as Debian builds it
        (12, ("sys", "time"), ["TG804"]),
    ],
)
def test_a_python_without_its_libpython(spec, monkeypatch, minor, builtins, found):
    monkeypatch.setattr(layout_module, "find_libpython", lambda: None)
    as_python(monkeypatch, minor, *builtins)
    assert codes(spec()) == found
    assert choose_runtime(spec(), UpOptions(runtime=None)).name is (
        RuntimeName.DOCKER if found else RuntimeName.EMBEDDED
    )


def test_a_stub_that_is_gone_says_how_to_get_it_back(tmp_path):
    home = fake_home(tmp_path, 8)
    with pytest.raises(EnvironmentProblem, match="not whole") as caught:
        build_layout(home, tmp_path / "cache")
    assert caught.value.where == str(home.stub(sys.version_info.minor))
    assert str(home.folder) in caught.value.fix


def test_no_libpython_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(layout_module, "find_libpython", lambda: None)
    monkeypatch.setattr("sys.builtin_module_names", ("_datetime",))
    with pytest.raises(EnvironmentProblem) as caught:
        build_layout(fake_home(tmp_path, sys.version_info.minor), tmp_path / "cache")
    assert caught.value.code == "TG804"
    assert f"apt-get install libpython3.{sys.version_info.minor}" in caught.value.fix


def codes(made) -> list[str]:
    return [item.code for item in findings(made)]


def test_preflight_of_a_good_spec_is_silent(spec):
    assert codes(spec(backends=("onnxruntime", "python", "ensemble"))) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"models": ("absent",)}, "TG831"),
        ({"backends": ("tensorrt",)}, "TG806"),
        ({"gpus": 1}, "TG806"),
        ({"host": "0.0.0.0"}, "TG819"),  # noqa: S104  (looked at only)
        ({"host": "192.0.2.1"}, "TG819"),
        ({"host": "192.0.2.1"}, "TG837"),
        ({"cores": 4096}, "TG316"),
        ({"cpuset": (4095,)}, "TG316"),
        ({"memory_bytes": 1 << 60}, "TG311"),
    ],
)
def test_preflight_names_what_stands_in_the_way(spec, options, code):
    assert code in codes(spec(**options))


def test_preflight_of_a_repository_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    made = server_spec(tmp_path / "file", tmp_path / "project", ())
    (finding,) = findings(made)
    assert (finding.code, finding.location.path) == ("TG831", str(tmp_path / "file"))
    assert "is not a folder" in finding.message


def test_an_ipv6_address_as_each_of_the_servers_writes_it(spec):
    given = set(arguments(spec(host="::1")))
    assert {"--http-address=ipv6:::1", "--metrics-address=ipv6:::1"} < given
    assert "--grpc-address=[::1]" in given
