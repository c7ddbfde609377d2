"""Every command and its line in `tritongen --help`; its module here has `register(subparsers)`."""

from collections.abc import Mapping
from types import MappingProxyType

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "init": "draft tritongen.yaml from what is found",
        "inspect": "facts and findings for every model",
        "build": "write the model repository",
        "check": "lint any model repository",
        "explain": "why a value is what it is",
        "up": "serve a repository with a real Triton",
        "down": "stop what `up` started",
        "restart": "end the server and start it again",
        "status": "is the server up, are its models ready?",
        "logs": "the last lines of the server's log",
        "verify": "compare Triton's outputs with a local run",
        "probe": "load with honest numbers",
        "tune": "find the best configuration by measuring it",
        "optimize": "make models servable, batchable and cheaper",
        "doctor": "what this machine can run, and how to mend what it can't",
        "plan": "which machines, how many, at what cost",
        "export": "deployment files that agree with the plan",
        "observe": "what a live server does, and what to change",
        "report": "one HTML page about the service",
        "completion": "completion script for your shell",
    }
)
