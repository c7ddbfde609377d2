"""The child process of `child_session`: a line and frames on stdin, frames on stdout."""

import json
import os
import sys
from pathlib import Path
from typing import IO

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import decode
from tritongen.model.facts import ModelFormat
from tritongen.trial.child_request import Limits
from tritongen.trial.confine import confine, own_stdout
from tritongen.trial.runtime import DeclaredInterface, LoadedModel, RuntimeRefusal


def main() -> None:
    """Load the model that the first line names, then run it on each frame."""
    source = sys.stdin.buffer
    request = json.loads(source.readline())
    confine(decode(Limits, request["limits"]))
    # Not sooner: numpy starts threads, and a process with threads is not to be forked.
    from tritongen.trial.frames import write_frame

    with own_stdout() as text:
        sink = text.buffer
        try:
            session = _load(request)
        except EnvironmentProblem as problem:
            write_frame(sink, {"missing": [problem.what, problem.fix]})
        except RuntimeRefusal as refusal:
            write_frame(sink, {"error": refusal.message})
        else:
            write_frame(sink, {})
            _serve(session, source, sink)


def _load(request: dict[str, object]) -> LoadedModel:
    from tritongen.trial.runtimes import runtime_for

    interface = decode(DeclaredInterface, request["interface"])
    runtime = runtime_for(ModelFormat(str(request["format"])), interface)
    return runtime.load(Path(str(request["path"])), threads=1)


def _serve(session: LoadedModel, source: IO[bytes], sink: IO[bytes]) -> None:
    from tritongen.trial.frames import read_frame, write_frame

    while True:
        try:
            _, inputs = read_frame(source)
        except EOFError:
            return
        try:
            outputs = session.run(inputs)
        except RuntimeRefusal as refusal:
            write_frame(sink, {"error": refusal.message})
        else:
            write_frame(sink, {}, outputs)


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
