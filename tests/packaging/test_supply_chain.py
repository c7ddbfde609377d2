"""What is installed, fetched and released: by hash, told in a document, the same from any clone."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

from support.packages import ROOT, SECONDS, clean_environment
from tritongen.serving.embedded import fetch

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PIN = re.compile(
    r"(?m)^([a-z0-9-]+)==\S+(?: ; .+?)?(?: \\)?\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)*)"
)
# What may fetch without a hash, and why.
UNHASHED = {
    "benchmarks/bench_process.py": "a peer, by its version",
    "benchmarks/probe_bench_tools.py": "a peer, by its version",
    "benchmarks/tune_analyzer.py": "a peer, by its version",
    "scripts/lock.sh": "a word to the person who runs it",
    "tests/golden/transcripts/client.txt": "a word to the person who runs the client",
    "tests/support/packages.py": "the wheel of this checkout, as users install it",
}
FETCHES = re.compile(
    r"""\bpip\W{1,4}(?:environment, )?["']?(?:install|download)\b(?! 'tritongen)"""
)


def tracked(*patterns: str) -> list[str]:
    """Files of the repository, from its root."""
    done = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_locked_package_has_hashes(lock: Path) -> None:
    text = lock.read_text()
    entries = PIN.findall(text)
    assert entries
    assert [name for name, hashes in entries if not hashes] == []
    rest = PIN.sub("", text)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {
        "dev": [*project["dependencies"], *chain.from_iterable(extras.values())],
        "onnx": [*project["dependencies"], *extras["onnx"]],
        "build": ["hatchling"],
    }
    for name, requirements in asked.items():
        names = {re.split(r"[\[<>=]", one)[0] for one in requirements} - {"tritongen"}
        held = {entry for entry, _ in PIN.findall((ROOT / f"requirements/{name}.txt").read_text())}
        # PyTorch's builds differ by index.
        assert names - held <= ({"torch"} if name == "dev" else set()), name


def test_whatever_pip_fetches_is_held_against_a_hash() -> None:
    places = tracked("scripts", "tests", "benchmarks", "demo", "compose", ".github", "Makefile")
    found = {
        place
        for place in places
        if not place.endswith(".md") and FETCHES.search((ROOT / place).read_text(errors="replace"))
    } - {Path(__file__).relative_to(ROOT).as_posix()}
    assert found - set(UNHASHED) >= {"demo/fetch.py", "compose/slim/Dockerfile"}
    assert set(UNHASHED) <= found
    assert [
        place for place in found - set(UNHASHED)
        if "--require-hashes" not in (ROOT / place).read_text()
    ] == []  # fmt: skip


def test_the_bill_of_materials_tells_every_package() -> None:
    told = [sbom(epoch="1700000000") for _ in range(2)]
    assert told[0] == told[1]
    document = json.loads(told[0])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    *packages, triton = document["components"]
    assert triton["purl"] == f"pkg:pypi/nvidia-pytriton@{fetch.DISTRIBUTION_VERSION}"
    assert triton["hashes"] == [{"alg": "SHA-256", "content": fetch.SHA256}]
    locked = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / "requirements/onnx.txt").read_text())
    assert [(one["name"], one["version"]) for one in packages] == locked
    references = [one["bom-ref"] for one in document["components"]]
    assert len(set(references)) == len(references)
    assert document["dependencies"][0]["dependsOn"] == references


def sbom(epoch: str) -> str:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/sbom.py"], capture_output=True, text=True, check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
    ).stdout  # fmt: skip


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_two_clones_build_the_same_bytes(target: str, tmp_path: Path) -> None:
    """At other places and times, by people with other masks, languages and zones."""
    found = set()
    for name, mask, zone, seed in (("a", 0o022, "UTC", "1"), ("b/c", 0o077, "Asia/Tokyo", "2")):
        clone, out = tmp_path / name / "clone", tmp_path / name / "out"
        clone.parent.mkdir(parents=True)
        command = ["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone]
        subprocess.run(command, check=True, umask=mask, timeout=SECONDS)
        for path in sorted(clone.rglob("*.py"))[::2]:
            os.utime(path, (int(seed) * 10**8,) * 2)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out],
            cwd=clone, check=True, capture_output=True, umask=mask, timeout=SECONDS,
            env={**clean_environment(), "SOURCE_DATE_EPOCH": "1700000000", "TZ": zone,
                 "PYTHONHASHSEED": seed, "LC_ALL": "C"},
        )  # fmt: skip
        (built,) = out.iterdir()
        found.add((built.name, hashlib.sha256(built.read_bytes()).hexdigest()))
    assert len(found) == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_was_looked_at_and_may_do_little(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (\S+?)@(\S+)(.*)", text)
    assert used
    for action, commit, comment in used:
        assert re.fullmatch(r"[0-9a-f]{40}", commit), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    workflow = yaml.safe_load(text)
    # YAML reads `on` as a truth.
    assert "pull_request_target" not in workflow[True]
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            # What others write never becomes a shell's command.
            assert "${{ github." not in step.get("run", "")


def test_a_release_is_attested_and_needs_no_token() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert "secrets." not in text
    assert jobs["attest"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert (jobs["attest"]["needs"], jobs["publish"]["needs"]) == ("build", "attest")
    assert jobs["publish"]["environment"] == "pypi"
    image = jobs["image"]
    assert image["needs"] == "publish"  # what a person has released, and nothing else
    assert image["permissions"] == {
        "contents": "read", "packages": "write", "id-token": "write", "attestations": "write",
    }  # fmt: skip
    assert image["steps"][-1]["with"]["push-to-registry"] is True
