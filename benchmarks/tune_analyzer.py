"""Model Analyzer's quick search on the tuner's own server, for the tuning benchmark."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probe_bench_tools import perf_analyzer
from serving_bench import TRITONGEN
from tritongen.config.pbtxt import parse_config
from tritongen.tune.measure import TaskRunner
from tune_parts import CACHE, Row, bench, project, subject_of

ANALYZER = "1.58.0"


def analyzer_part(row: Row, minutes: float) -> dict[str, Any]:
    """Model Analyzer's quick search in remote mode: whether it finished, and its best."""
    with project(row) as folder:
        subprocess.run(
            [TRITONGEN, "build", "models"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        subject = subject_of(folder, row)
        with bench(folder, subject) as found:
            found.server.ensure(found.cores(subject), ())
            built = folder / "model_repository" / row.model
            _without_warmup(built / "config.pbtxt")
            shutil.copytree(built, found.server.repository / row.model)
            file = folder / "analyzer.json"
            file.write_text(json.dumps(_analyzer_file(folder, found, row)))
            begun = time.monotonic()
            log = folder / "analyzer.log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    [_analyzer(), "profile", "-f", file],
                    cwd=folder, stdout=output, stderr=output, start_new_session=True,
                    env={**os.environ, "PATH": f"{_analyzer().parent}:{os.environ['PATH']}"},
                )  # fmt: skip
                try:
                    code: int | None = process.wait(60.0 * minutes)
                except subprocess.TimeoutExpired:
                    code = None
                    os.killpg(process.pid, signal.SIGINT)
                    with_patience(process)
            wall = time.monotonic() - begun
            return {
                "finished": code == 0,
                "wall_s": wall,
                "minutes": minutes,
                "best": _analyzer_best(folder),
                "measured": sum(1 for _ in _kept(folder)),
                "log": log.read_text(errors="replace").splitlines()[-60:],
                "server": "" if found.server.alive() else found.server.last_words(),
                "server_log": (folder / ".tritongen/tune/server.log")
                .read_text(errors="replace")
                .splitlines()[-20:],
            }


def _without_warmup(path: Path) -> None:
    """Takes the warm-up out of a configuration.

    Model Analyzer lowers max_batch_size and keeps the samples. Those that are larger then fail the
    load, it takes the search for finished, and a failed warm-up may end this Triton by SIGSEGV.
    """
    from google.protobuf import text_format

    message = parse_config(path.read_text(), str(path)).message
    message.ClearField("model_warmup")
    path.write_text(text_format.MessageToString(message))


def with_patience(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process that was asked to end, if it does not."""
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _analyzer_file(folder: Path, found: TaskRunner, row: Row) -> dict[str, Any]:
    server = found.server
    return {
        "model_repository": str(folder / "model_repository"),
        "triton_launch_mode": "remote",
        "triton_http_endpoint": server.endpoints.http,
        "triton_grpc_endpoint": server.endpoints.grpc,
        "triton_metrics_url": f"http://{server.endpoints.metrics}/metrics",
        "perf_analyzer_path": str(perf_analyzer()),
        "output_model_repository_path": str(folder / "analyzer_repository"),
        "override_output_model_repository": True,
        "checkpoint_directory": str(folder / "checkpoints"),
        "export_path": str(folder / "export"),
        "perf_analyzer_flags": {"stability-percentage": 50},
        "run_config_search_mode": "quick",
        "run_config_search_max_instance_count": row.cpus,
        "run_config_search_max_model_batch_size": 32,
        "run_config_search_max_concurrency": 64,
        "profile_models": {row.model: {"cpu_only": True}},
    }


def _analyzer() -> Path:
    """The program, from its wheel in a virtual environment that is made once (some 630 MB)."""
    home = CACHE / f"model-analyzer-{ANALYZER}"
    program = home / "bin/model-analyzer"
    if not program.is_file():
        print(f"installing triton-model-analyzer {ANALYZER} (once)", file=sys.stderr)
        venv.create(home, with_pip=True)
        wanted = f"triton-model-analyzer=={ANALYZER}"
        subprocess.run([home / "bin/python", "-m", "pip", "install", "-q", wanted], check=True)
    return program


def _analyzer_best(folder: Path) -> dict[str, Any]:
    """The most throughput in what it exported, or in its checkpoint when it was cut off."""
    found = [*_exported(folder), *_kept(folder)]
    return max(found, key=lambda item: float(item["throughput"]), default={})


def _exported(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("export/**/metrics-model-inference.csv"):
        with path.open() as file:
            for line in csv.DictReader(file):
                yield {
                    "throughput": float(line.get("Throughput (infer/sec)") or 0.0),
                    "config": line.get("Model Config Path", ""),
                    "settings": line.get("Instance Group", ""),
                    "clients": line.get("Concurrency", ""),
                }


def _kept(folder: Path) -> Iterator[dict[str, Any]]:
    """Measurements of its checkpoints: {models: {variant: [configuration, {key: measurement}]}}."""
    for path in folder.glob("checkpoints/*.ckpt"):
        models = json.loads(path.read_text())["ResultManager.results"]["_results"]
        for variants in models.values():
            for variant, (configuration, measurements) in variants.items():
                for measurement in measurements.values():
                    for part in measurement["_model_config_measurements"]:
                        data = {tag: item["_value"] for tag, item in part["_non_gpu_data"]}
                        yield {
                            "throughput": float(data.get("perf_throughput") or 0.0),
                            "config": variant,
                            "settings": _settings(configuration),
                            "clients": part["_model_specific_pa_params"].get(
                                "concurrency-range", "?"
                            ),
                        }


def _settings(configuration: object) -> str:
    """Instances and batch of a configuration in a checkpoint, wherever in it they are."""
    if isinstance(configuration, list):
        return next(filter(None, map(_settings, configuration)), "")
    if not isinstance(configuration, dict):
        return ""
    groups = configuration.get("instanceGroup") or configuration.get("instance_group")
    if not groups:
        return next(filter(None, map(_settings, configuration.values())), "")
    batch = configuration.get("maxBatchSize", configuration.get("max_batch_size", 0))
    return f"({groups[0].get('count', 1)} instances, batches of up to {batch})"
