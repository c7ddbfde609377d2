"""The tool's own image, built and used as docs/gitlab.md says."""

import subprocess

import pytest
import yaml

from support.cli import Project
from support.docker import engine
from support.pages import ROOT, blocks

PAGE = "docs/gitlab.md"
SECONDS = 900


@pytest.fixture(scope="module")
def tool_image() -> str:
    """The image's name; built when it is not here."""
    script = ROOT / "scripts/tool-image.sh"
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS)
    return done.stdout.strip()


def docker_run(image: str, project: Project, *words: str, options: tuple[str, ...] = ()) -> str:
    mount = f"{project.folder}:/work"
    return engine("run", "--rm", "--volume", mount, *options, image, *words)


@pytest.mark.timeout(SECONDS)
def test_it_runs_as_a_user_without_rights_and_holds_what_the_build_does_not_need(
    tool_image: str,
) -> None:
    inside = engine(
        "run",
        "--rm",
        "--entrypoint",
        "sh",
        tool_image,
        "-c",
        "id -u; ls -A /build /etc/build-trust; :",
    )
    assert inside == "1000"
    assert engine("run", "--rm", tool_image, "--version").startswith("tritongen ")


def test_the_blocks_of_the_page(tool_image: str, built: Project) -> None:
    scripts = ["\n".join(block.commands) for block in blocks(PAGE, "console")]
    script = "\n".join(scripts).replace("REGISTRY/tritongen:TAG", "tritongen:page")
    script = script.replace("scripts/", f"{ROOT}/scripts/").replace("docker push", "docker inspect")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=built.folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("nothing to report\n")


def test_the_job_of_the_page(tool_image: str, built: Project) -> None:
    (block,) = blocks(PAGE, "yaml")
    job = yaml.safe_load(block.text)["models"]
    assert job["image"]["entrypoint"] == [""]
    variables = [f"--env={name}={value}" for name, value in job["variables"].items()]
    script = "\n".join(["set -e", *job["script"]])
    options = ("--user=0:0", "--entrypoint=sh", *variables)
    assert "up to date" in docker_run(tool_image, built, "-c", script, options=options)


def test_models_are_tried_in_it(tool_image: str, built: Project) -> None:
    words = ("build", "models", "--remeasure")
    told = docker_run(tool_image, built, *words, options=("--user=0:0",))
    assert "wrote model_repository" in told
