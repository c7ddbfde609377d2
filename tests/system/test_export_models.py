"""How models get to where they are served: an image that holds them, a claim that is copied to."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli import Project
from support.export_stack import docker, eventually, free_ports, http, two_models
from support.pods import manifest_of


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built project, to be copied."""
    return two_models(tmp_path_factory.mktemp("models")).folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A built project of its own, whose repository others may read."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return Project(folder)


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as a user types it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def name() -> Iterator[str]:
    """Of an image; gone with all its tags afterwards."""
    made = f"tritongen-test-shop-{os.getpid()}"
    yield made
    for tag in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", made).split():
        docker("image", "rm", "--force", tag, check=False)


def exported(project: Project, target: str, name: str) -> tuple[str, str]:
    """The printed commands up to the one that builds the image, and the image."""
    said = project.run("export", target, "-o", "out", "--image", name).out
    told = [line.partition("in out: ")[2] for line in said.splitlines() if "in out: " in line]
    assert [one.split()[0] for one in told[:3]] == ["(cd", "tar", "docker"]
    return " && ".join(told[:2]), told[2].split()[-1]


def built(project: Project, command: str, base: str) -> list[str]:
    """The layers of the image that the command builds on this base."""
    done = shell(
        command.replace("docker build", f"docker build -q --build-arg BASE={base}"),
        project.folder / "out",
    )
    assert done.returncode == 0, done.stderr
    (facts,) = json.loads(docker("image", "inspect", done.stdout.strip()))
    return list(facts["RootFS"]["Layers"])


def test_an_image_holds_the_models_and_is_the_same_each_time(project, name, slim_image):
    command, image = exported(project, "kubernetes", name)
    layers = built(project, command, slim_image)
    manifest = manifest_of(project.folder / "out")
    pod = manifest["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == image
    tag = image.partition(":")[2]
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert annotations["tritongen/repository"].startswith(tag)
    assert len(tag) == 12
    assert "persistentVolumeClaim" not in json.dumps(pod)
    for path in project.repository.rglob("*"):
        os.utime(path, (1, 1))
    docker("image", "rm", "--force", image)
    assert built(project, command, slim_image) == layers
    (port,) = free_ports(1)
    container = docker("run", "--detach", "--publish", f"127.0.0.1:{port}:8000", image)
    try:
        for model in ("digits", "breast_cancer"):
            ready = f"/v2/models/{model}/ready"
            eventually(lambda path=ready: http(f"127.0.0.1:{port}", path)[0] == 200)
        assert docker("exec", container, "id", "-u") == "1000"
    finally:
        docker("rm", "--force", container)


def test_another_build_is_another_image_and_the_old_one_stays(project, name, slim_image):
    images = []
    for cores in ("2", "1"):
        project.run("build", "models", "--cpus", cores)
        command, image = exported(project, "compose", name)
        built(project, command, slim_image)
        images.append(image)
    assert images[0] != images[1]
    tags = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name).split()
    assert set(images) <= set(tags)


def test_an_image_of_a_repository_that_was_changed_is_not_built(project, name, slim_image):
    command, _ = exported(project, "swarm", name)
    path = project.config("digits")
    path.write_text(path.read_text() + "# mine\n")
    done = shell(
        command.replace("docker build", f"docker build --build-arg BASE={slim_image}"),
        project.folder / "out",
    )
    assert done.returncode != 0
    assert "digits/config.pbtxt" in done.stdout + done.stderr


@pytest.mark.parametrize("target", ["kserve", "azureml"])
def test_targets_that_bring_the_models_themselves_refuse_such_an_image(project, target):
    problem = project.error(
        "export", target, "-o", "out", "--image", "registry.example:5000/shop", expect=2
    )
    assert problem["code"] == "TG762"


class Claim:
    """A claim's folder, the Job that waits for models, and pods that look at them.

    Args:
        project: whose export is used.
        folder: of the claim.
        image: of every container.
    """

    def __init__(self, project: Project, folder: Path, image: str) -> None:
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o777)
        self._image = image
        self._out = project.folder / "out"
        self._digests = project.folder / "digests"
        self.deploy(project)

    def deploy(self, project: Project) -> None:
        """Export, and take the manifests as they are now."""
        said = project.run("export", "kubernetes", "-o", "out").out
        (line,) = (one for one in said.splitlines() if "kubectl exec" in one)
        self._copy = line.partition("in out: ")[2].split(" | ")[0]
        shutil.rmtree(self._digests, ignore_errors=True)
        self._digests.mkdir()
        for name in ("SHA256SUMS", "receive.sh"):
            shutil.copy(self._out / name, self._digests)
        self.pod = manifest_of(self._out)["spec"]["template"]["spec"]
        documents = list(yaml.safe_load_all((self._out / "claim.yaml").read_text()))
        assert [one["kind"] for one in documents] == ["PersistentVolumeClaim", "Job"]
        self.job: Any = documents[1]["spec"]["template"]["spec"]["containers"][0]

    def _words(self, *mounts: str) -> list[str]:
        limits = ("--user", "1000:1000", "--read-only", "--cap-drop", "ALL", "--network", "none")
        return [
            *limits,
            *(f"--volume={one}" for one in (*mounts, f"{self._digests}:/repository:ro")),
        ]

    def wait(self) -> str:
        """Start the Job."""
        program, *rest = self.job["command"]
        words = self._words(f"{self.folder}:/claim")
        return docker("run", "--detach", *words, "--entrypoint", program, self._image, *rest)

    def copy(self, job: str) -> subprocess.CompletedProcess[str]:
        """The printed command, its stream into the Job."""
        command = f"{self._copy} | docker exec -i {job} sh /repository/receive.sh"
        return shell(command, self._out)

    def check(self) -> subprocess.CompletedProcess[str]:
        """The init step of a pod."""
        (first,) = self.pod["initContainers"]
        (mount,) = (one for one in first["volumeMounts"] if one["name"] == "models")
        program, *rest = first["command"]
        words = self._words(f"{self.folder / mount['subPath']}:/models:ro")
        return subprocess.run(
            ["docker", "run", "--rm", *words, "--entrypoint", program, self._image, *rest],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip


@pytest.fixture
def claim(project: Project, tmp_path: Path, slim_image: str) -> Claim:
    """An empty claim of an exported project."""
    return Claim(project, tmp_path / "claim", slim_image)


@pytest.fixture
def job(claim: Claim) -> Iterator[str]:
    """The Job that waits."""
    container = claim.wait()
    yield container
    docker("rm", "--force", container)


def test_models_are_copied_whole_and_a_pod_finds_its_own(project, claim, job):
    done = claim.copy(job)
    assert done.returncode == 0, done.stderr
    assert docker("wait", job) == "0"
    (folder,) = claim.folder.iterdir()
    assert (folder / "digits/1/model.onnx").stat().st_size > 1000
    assert claim.check().returncode == 0
    # Another build does not find itself in the old one's place, and leaves that as it is.
    project.run("build", "models", "--cpus", "1")
    claim.deploy(project)
    (claim.folder / claim.pod["initContainers"][0]["volumeMounts"][0]["subPath"]).mkdir()
    refused = claim.check()
    assert refused.returncode == 1
    assert "does not hold the repository" in refused.stderr
    assert (folder / "digits/1/model.onnx").exists()


def test_a_pod_refuses_a_repository_that_is_not_its_own(claim, job):
    assert claim.copy(job).returncode == 0
    (folder,) = claim.folder.iterdir()
    path = folder / "digits/config.pbtxt"
    path.write_text(path.read_text() + "# mine\n")
    refused = claim.check()
    assert refused.returncode == 1
    assert "digits/config.pbtxt" in refused.stdout
    assert "copy it, or undo" in refused.stderr


def test_a_copy_that_is_not_whole_is_not_taken(project, claim, job):
    weights = project.repository / "digits/1/model.onnx"
    data = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(data[:-1])
    done = claim.copy(job)
    assert done.returncode != 0
    assert "digits/1/model.onnx" in done.stdout
    assert [one.name for one in claim.folder.iterdir() if not one.name.endswith(".partial")] == []
    weights.write_bytes(data)
    assert claim.copy(job).returncode == 0
    assert docker("wait", job) == "0"
