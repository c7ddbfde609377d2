"""The child process of a trial, of several, and of models that are run for their answers.

A line of JSON on stdin says which. A trial reports on stdout. Models are loaded and run as frames
on stdin ask for it, and frames on stdout answer. Nothing else appears on stdout. For several trials
stdin is a socket, and each trial a fork with streams of its own.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import decode
from tritongen.model.facts import ModelFormat
from tritongen.trial.child_report import Reporter
from tritongen.trial.child_request import Limits, TrialRequest
from tritongen.trial.confinement import confine, fork_for_each, own_stdout, restrict
from tritongen.trial.runtime import DeclaredInterface, LoadedModel, RuntimeRefusal


def main() -> None:
    """Do what the first line says, confined."""
    line = json.loads(sys.stdin.buffer.readline())
    forked = "forks_for" in line
    if forked:
        _import_shared()
        fork_for_each(socket.socket(fileno=sys.stdin.fileno()), line["forks_for"])
        line = json.loads(sys.stdin.buffer.readline())
    if packages := line.get("packages"):
        sys.path.insert(0, packages)
    limits = decode(Limits, line["limits"])
    if forked:
        restrict(limits)
    else:
        confine(limits)
    # Runtimes are imported now, not sooner: a process with threads is not to be forked. numpy is,
    # too, unless the variables of `WarmWorker` have kept it from starting some.
    with own_stdout() as sink:
        if "format" in line:
            _try_model(decode(TrialRequest, line), sys.stdin.buffer, sink)
        else:
            _serve(sys.stdin.buffer, sink.buffer)


def _import_shared() -> None:
    """Import what every trial needs, and no runtime: those differ, and may start threads."""
    from tritongen.trial import frames, onnx_runtime, procedure, real_samples, runtimes

    del frames, onnx_runtime, procedure, real_samples, runtimes


def _try_model(request: TrialRequest, source: IO[bytes], sink: TextIO) -> None:
    """Run one trial; the report tells the whole story."""
    from tritongen.trial.frames import read_frame
    from tritongen.trial.procedure import perform
    from tritongen.trial.real_samples import sent_samples
    from tritongen.trial.runtimes import runtime_for

    report = Reporter(sink)
    try:
        samples = sent_samples(request, read_frame(source)[1]) if request.samples else ()
        perform(request, runtime_for(request.format, request.interface), report, samples)
    except EnvironmentProblem as problem:
        report.missing(problem.what, problem.fix)
    except MemoryError as error:
        report.known(code="TG203", error=f"out of memory: {error}".rstrip(": "))
    report.done()


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Load models, run them and forget them, as each frame asks."""
    from tritongen.trial.frames import read_frame, write_frame

    models: dict[int, LoadedModel] = {}
    while True:
        try:
            head, inputs = read_frame(source)
        except EOFError:
            return
        outputs = {}
        try:
            if "load" in head:
                models[head["load"]] = _load(head)
            elif "run" in head:
                outputs = models[head["run"]].run(inputs)
            else:
                models.pop(head["unload"], None)
        except EnvironmentProblem as problem:
            write_frame(sink, {"missing": problem.what, "fix": problem.fix})
        except RuntimeRefusal as refusal:
            write_frame(sink, {"error": refusal.message})
        else:
            write_frame(sink, {}, outputs)


def _load(request: Mapping[str, Any]) -> LoadedModel:
    from tritongen.trial.runtimes import runtime_for

    interface = decode(DeclaredInterface, request["interface"])
    runtime = runtime_for(ModelFormat(request["format"]), interface)
    return runtime.load(Path(request["path"]), threads=1)


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
