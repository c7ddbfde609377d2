"""Every command: its module and its line in `tritongen --help`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its module has `register(subparsers)`."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "init": Command("tritongen.cli.init", "draft tritongen.yaml from what is found"),
        "inspect": Command("tritongen.cli.inspect", "facts and findings for every model"),
        "build": Command("tritongen.cli.build", "write the model repository"),
        "check": Command("tritongen.cli.check", "lint any model repository"),
        "explain": Command("tritongen.cli.explain", "why a value is what it is"),
        "up": Command("tritongen.cli.up", "serve a repository with a real Triton"),
        "down": Command("tritongen.cli.down", "stop what `up` started"),
        "restart": Command("tritongen.cli.restart", "end the server and start it again"),
        "status": Command("tritongen.cli.status", "is the server up, are its models ready?"),
        "logs": Command("tritongen.cli.logs", "the last lines of the server's log"),
        "verify": Command("tritongen.cli.verify", "compare Triton's outputs with a local run"),
        "probe": Command("tritongen.cli.probe", "load with honest numbers"),
        "tune": Command("tritongen.cli.tune", "find the best configuration by measuring it"),
        "optimize": Command(
            "tritongen.cli.optimize", "make models servable, batchable and cheaper"
        ),
        "doctor": Command(
            "tritongen.cli.doctor", "what this machine can run, and how to mend what it can't"
        ),
        "plan": Command("tritongen.cli.plan", "which machines, how many, at what cost"),
        "export": Command("tritongen.cli.export", "deployment files that agree with the plan"),
        "observe": Command("tritongen.cli.observe", "what a live server does, and what to change"),
        "report": Command("tritongen.cli.report", "one HTML page about the service"),
        "completion": Command("tritongen.cli.completion", "completion script for your shell"),
    }
)
