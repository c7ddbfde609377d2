"""Every command that the documentation shows is run as it stands, or generated from the code.

A page's console blocks are a story: they are run one after the other in a project of its own. What
a story changes in them is said beside it: addresses, and times that nobody waits for in a test.
"""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import onnx
import pytest

from support import step_models
from support.cli import TRITONGEN, Project, dense
from support.export_stack import eventually, free_ports
from support.optimize import trained
from support.pages import ROOT, blocks, documents, is_printed

# By scripts/, which other tests hold against the code; tests/unit/cli parses their commands.
GENERATED = {"docs/codes.md", "docs/commands.md", "docs/export.md"}
SECONDS = 400
INTENT = """\
target: {cpus: 1}
models:
  digits: {rate: {average: 20, peak: 40}, latency: 200ms}
  ocr: {rate: {average: 20, peak: 40}, latency: 200ms}
"""
KEY = "X-Key: abc\n"
PORTS = "--http-port $HTTP --grpc-port $GRPC --metrics-port $METRICS"
PORT_NAMES = ("HTTP", "GRPC", "METRICS", "PROMETHEUS")
SCRAPED = """\
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: triton
    static_configs: [{targets: ["127.0.0.1:%s"]}]
"""


@dataclass(frozen=True)
class Story:
    """How the console blocks of a page are run.

    Attributes:
        models: of the project, before it is built.
        instead: what is run instead of a part of the page.
        built: whether the repository is there when the page begins.
        served: whether its server is.
        watched: whether a Prometheus scrapes it.
        prepare: what else the page takes for granted.
    """

    models: Mapping[str, onnx.ModelProto] = field(default_factory=lambda: {"ocr": dense()})
    instead: Mapping[str, str] = field(default_factory=dict)
    built: bool = True
    served: bool = False
    watched: bool = False
    prepare: Callable[[Project], None] | None = None


def git(project: Project) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "built")):
        subprocess.run(["git", *words], cwd=project.folder, check=True)


def empty_git(project: Project) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)


def with_keys(project: Project) -> None:
    project.write("key.txt", KEY).chmod(0o600)
    project.write("admin.txt", KEY).chmod(0o600)


def second_repository(project: Project) -> None:
    (project.folder / "repo").symlink_to(project.repository)


def with_profile(project: Project) -> None:
    (profile,) = blocks("docs/from-model-analyzer.md", "yaml")
    project.write("profile.yaml", profile.text)


def for_one_team(project: Project) -> None:
    team = project.folder / "teams" / "search"
    team.mkdir(parents=True)
    project.models.rename(team / "models")


def checkout(project: Project) -> None:
    clone = ["git", "clone", "--quiet", ROOT, project.folder / "clone"]
    subprocess.run(clone, check=True)


IRISES = {"forest": dense(), "irises": dense(seed=1)}
TWO = {"digits": dense(), "ocr": dense(seed=1)}
STORIES: dict[str, Story] = {
    "README.md": Story(
        IRISES,
        {"pip install 'tritongen[onnx]'": ":", "probe ": "probe --time-budget 1s "},
        built=False,
    ),
    "SECURITY.md": Story(
        {},
        {"pip install --require-hashes -r requirements/build.txt": "cd clone"},
        built=False,
        prepare=checkout,
    ),
    "docs/azureml.md": Story(
        TWO,
        {
            "https://NAME.westeurope.inference.ml.azure.com": "http://HOST:8000",
            "TOKEN=…": "TOKEN=abc",
            "probe ": "probe --time-budget 1s ",
        },
        served=True,
    ),
    "docs/check.md": Story(prepare=second_repository),
    "docs/from-model-analyzer.md": Story(
        {"ocr": dense(), "rank": dense(seed=1)},
        {
            "model-analyzer profile ": ": model-analyzer profile ",
            # Whether a goal is met is this machine's matter.
            "config profile.yaml": "config profile.yaml --budget 8s || [ $? = 4 ]",
        },
        prepare=with_profile,
    ),
    "docs/from-perf-analyzer.md": Story(
        TWO,
        {
            "perf_analyzer   ": ": perf_analyzer ",
            "localhost:8001": "127.0.0.1:$GRPC",
            "1:16": "1:2",
            "probe ": "probe --time-budget 1s ",
        },
        served=True,
    ),
    "docs/git.md": Story(
        instead={"git commit": "git -c user.name=a -c user.email=a@b commit -qm built"},
        built=False,
        prepare=empty_git,
    ),
    "docs/kubernetes.md": Story(
        TWO,
        {"probe ": "probe --time-budget 1s ", "for 14d": "for 5s"},
        served=True,
        watched=True,
    ),
    "docs/monorepo.md": Story(
        {"ranker": step_models.ranker()}, built=False, prepare=for_one_team
    ),
    "docs/optimize.md": Story(
        {"ocr": trained.mlp()},
        # What is slower on this machine is not kept with samples.
        {"--data samples.npz --max-drop 0.01": "--budget 1"},
    ),
    "docs/other-systems.md": Story(
        IRISES,
        # The container's image is a registry's; what is typed in it is run here.
        {"docker run": ": docker run", "pip install 'tritongen[onnx]'": ":"},
        built=False,
    ),
    "docs/pipelines.md": Story(
        {
            "photo": step_models.photo(),
            "bert": step_models.words(),
            "ranker": step_models.ranker(),
        },
        {"init ./models": "init models"},
    ),
    "docs/plan.md": Story(
        TWO,
        {
            "for 1h": "for 1s",
            "for 10m": "for 1s",
            "for 84s": "for 2s",
            "for 14d": "for 5s",
            "duration 84s": "duration 3s",
            "OTHER:8000": "HOST:8000",
        },
        served=True,
        watched=True,
    ),
    "docs/probe.md": Story(
        TWO,
        {
            "tritongen up": "tritongen status",
            "HOST:8001": "HOST:$GRPC",
            "concurrency 1:256": "concurrency 1:4",
            "'p99<5ms'": "'p99<5s'",
            "'p99<20ms,": "'p99<5s,",
            "https://x.inference.example/api/projects/x": "http://HOST:8000",
            "grpcs://triton.example:443 --ca ca.pem": "grpc://HOST:$GRPC",
            "TOKEN=…": "TOKEN=abc",
            "-o before.json": "-o before.json && cp before.json after.json",
            "probe ": "probe --time-budget 1s ",
            "probe --time-budget 1s --compare": "probe --compare",
            "probe --time-budget 1s --merge": "probe --merge",
            "+ 60": "+ 20",
            "1s -m ocr --rate 100": "5s -m ocr --rate 100",
            # Wants a server whose models can be changed: test_probe_questions.py.
            "tritongen probe --time-budget 1s -m ocr --against": ": tritongen probe --against",
        },
        served=True,
        prepare=with_keys,
    ),
    "docs/serving.md": Story(
        TWO,
        {
            "logs --follow": "logs",
            "tritongen status -u grpcs://triton.example:8001 --ca ca.pem": (
                "tritongen up && sed -i 's/count: [0-9]*/count: 7/' model_repository/digits/*.pbtxt"
                " && tritongen status -u grpc://HOST:$GRPC"
            ),
            "admin.txt": "admin.txt || [ $? = 1 ]",  # since it tells of a difference
            # tests/support/docker.py builds the images, and the tests on Docker serve with them.
            "$(scripts/slim-image.sh)": "none",
            "$(PACKAGES='openvino' scripts/slim-image.sh)": "none",
            '--image "$image"': "--runtime docker --dry-run",
        },
        prepare=with_keys,
    ),
    "docs/tune.md": Story(
        TWO,
        {
            "--budget 60s": "--budget 8s",
            "--goal 'p99<20ms'": "--goal 'p99<5s' --budget 8s",
            "tune ./models  ": "tune ./models --budget 8s ",
        },
        prepare=git,
    ),
}  # fmt: skip
# Pages that have a test of their own.
ELSEWHERE = {
    "docs/gitlab.md": "tests/system/test_docker_tool_image.py",
    "docs/index.md": "tests/system/test_first_hour.py",
}


@pytest.mark.smoke
def test_every_console_block_is_run_or_generated() -> None:
    faults = []
    for page in documents():
        known = page in {*GENERATED, *STORIES, *ELSEWHERE}
        for block in blocks(page):
            if block.kind == "console":
                faults += [] if known else [f"{page}:{block.line}: nothing runs this block"]
            elif re.search(r"(?m)^(\$ )?tritongen [a-z]", block.text):
                faults.append(f"{page}:{block.line}: commands stand in a block `console`")
    assert faults == []
    assert [page for page in STORIES if not blocks(page, "console")] == []


@pytest.mark.timeout(SECONDS + 200)
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in STORIES]
)
def test_the_commands_of_a_page_do_what_it_says(page, project, embedded_runtime) -> None:
    story = STORIES[page]
    furnish(project, story)
    ports = dict(zip(PORT_NAMES, map(str, free_ports(4)), strict=True))
    with ExitStack() as stack:
        stack.callback(project.run, "down", expect=None)
        if story.served:
            run(project, f"tritongen up {PORTS}", ports)
        if story.watched:
            stack.enter_context(prometheus(project, ports))
        for block in blocks(page, "console"):
            script = adapted("\n".join(block.commands), story)
            printed = run(project, script, ports)
            missing = [line for line in block.shown if not is_printed(line, printed)]
            assert missing == [], f"{page}:{block.line}\n{printed}"


def furnish(project: Project, story: Story) -> None:
    for name, model in story.models.items():
        project.add(f"{name}/model.onnx", model)
    if story.models is TWO:
        project.write("models/tritongen.yaml", INTENT)
    if story.built:
        project.run("build", "models")
    if story.prepare:
        story.prepare(project)


def adapted(script: str, story: Story) -> str:
    for words, others in story.instead.items():
        script = script.replace(words, others)
    script = script.replace("tritongen up", f"tritongen up {PORTS}")
    addresses = {"HOST:8000": "127.0.0.1:$HTTP", "HOST:9090": "127.0.0.1:$PROMETHEUS"}
    for words, others in {**addresses, "HOST:": "127.0.0.1:"}.items():
        script = script.replace(words, others)
    return script


@contextmanager
def prometheus(project: Project, ports: Mapping[str, str]) -> Iterator[None]:
    """A real Prometheus that scrapes the page's server."""
    config = project.write("prometheus/prometheus.yml", SCRAPED % ports["METRICS"])
    address = f"127.0.0.1:{ports['PROMETHEUS']}"
    words = [
        "prometheus", f"--config.file={config}", f"--web.listen-address={address}",
        f"--storage.tsdb.path={config.parent}",
    ]  # fmt: skip
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: listens(ports["PROMETHEUS"]))
            yield
        finally:
            process.terminate()


def listens(port: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(port))) == 0


def run(project: Project, script: str, ports: Mapping[str, str]) -> str:
    path = f"{TRITONGEN.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=project.folder,
        env={**os.environ, **ports, "PATH": path, "COLUMNS": "100"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout
