"""The parser of a command: options that several commands share, and the forms of their values."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tritongen.api import arguments
from tritongen.cli.output import terminal_width
from tritongen.errors import InvalidInputError
from tritongen.model.intent_key import size_bytes

T = TypeVar("T")
_UNIT_S = {
    "": 1.0, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0,
    "d": 86_400.0, "w": 604_800.0,
}  # fmt: skip
if TYPE_CHECKING:
    # argparse gives them no public names.
    Subparsers = argparse._SubParsersAction["CommandParser"]  # noqa: SLF001  (as above)
    OptionGroup = argparse._ArgumentGroup  # noqa: SLF001  (as above)
else:
    Subparsers = Any
# The variable that `--untrusted` is taken from.
UNTRUSTED = "TRITONGEN_UNTRUSTED"
DEFAULT_REPOSITORY = arguments.DEFAULT_REPOSITORY
existing_folder, writable_file = arguments.existing_folder, arguments.writable_file
# Of help where there is no terminal.
_USUAL_WIDTH = 80


def add_declared_options(
    parser: argparse.ArgumentParser, options: type, types: Mapping[str, Callable[[str], object]]
) -> None:
    """A flag for each field of an options dataclass that declares one.

    Args:
        parser: of the command.
        options: its dataclass; a field's metadata hold flags, argparse's settings and `made`.
        types: what reads the flag's text, by field; others are taken as they are.
    """
    for item in fields(options):
        settings: dict[str, Any] = dict(item.metadata.get("settings", {}))
        if item.name in types:
            settings["type"] = types[item.name]
        if item.metadata:
            default = [] if settings.get("action") == "append" else item.default
            parser.add_argument(
                *item.metadata["flags"], dest=_dest(options, item.name), default=default, **settings
            )


def declared_options(options: type[T], arguments: argparse.Namespace) -> T:
    """The options that a command line holds; fields without a flag keep their defaults."""
    found = {}
    for item in fields(options):  # type: ignore[arg-type]  # a dataclass
        if item.metadata:
            value, made = getattr(arguments, _dest(options, item.name)), item.metadata["made"]
            found[item.name] = value if made is None or value is None else made(value)
    return options(**found)


def _dest(options: type, name: str) -> str:
    """Where argparse keeps a field, apart from the command's own arguments."""
    return f"{options.__name__}.{name}"


def positive_float(text: str) -> float:
    """A number above 0, for `type=`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def seconds(
    text: str,
    *,
    least: float = 0.0,
    most: float = sys.float_info.max,
    what: str = "a time above 0 such as 30, 500ms, 120s or 2m",
) -> float:
    """Seconds above 0 from a plain number or one with a unit (``500ms``, ``90s``, ``2m``, ``14d``).

    For `type=`, or with `partial` where the time is bounded.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text)
    value = float(match[1]) * _UNIT_S.get(match[2], 0.0) if match else 0.0
    if not 0.0 < value <= most or value < least:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
    return value


def gibibytes(text: str) -> int:
    """Bytes of a number of GiB above 0, for `type=`."""
    return int(positive_float(text) * 2**30)


def size(text: str) -> int:
    """Bytes of a size such as ``512MB`` or ``1GiB``, for `type=`."""
    found = size_bytes(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a size such as 512MB or 1GiB, got {text!r}")
    return found


def _digits(text: str, *, least: int = 0, most: int = sys.maxsize, what: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
    return int(text)


# Forms of numbers, for `type=`; a port may be 0 for a free one.
whole = partial(_digits, what="a whole number")
positive_int = partial(_digits, least=1, what="a whole number above 0")
port = partial(_digits, most=65535, what="a port from 0 to 65535")


def address(text: str) -> str:
    """``HOST:PORT``, for `type=`."""
    host, _, number = text.rpartition(":")
    readable = text.isprintable() and "/" not in text
    if not host or not readable or not number.isdigit() or not 0 < int(number) <= 65535:
        from tritongen.triton.address import shown_address

        raise argparse.ArgumentTypeError(f"must be HOST:PORT, got {shown_address(text)!r}")
    return text


def refuse_to_serve(options: argparse.Namespace) -> None:
    """Stop a command that starts a server.

    Raises:
        InvalidInputError: TG149, no code may run.
    """
    if options.untrusted:
        raise InvalidInputError("TG149", "a server runs the code of the models that it serves")


def models_folder(options: argparse.Namespace) -> Path:
    """The models folder or model file that is named, or that the repository was built from.

    Raises:
        InvalidInputError: TG002, there is no such thing, or none is known.
    """
    found = arguments.models_path(options.models, options.repository)
    options.models = found  # for whoever prints a command for the same models
    return found


def known_models(options: argparse.Namespace) -> Path | None:
    """Their folder, None where none is named and none is known."""
    try:
        found = models_folder(options)
        return found.parent if found.is_file() else found
    except InvalidInputError:
        if options.models is not None:
            raise
        return None


def known_repository(options: argparse.Namespace) -> Path | None:
    """The repository that is named, else the usual one where there is one."""
    usual = DEFAULT_REPOSITORY if DEFAULT_REPOSITORY.is_dir() else None
    return options.repository or usual


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, which argparse would load archive formats to learn."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(terminal_width(sys.stdout) or _USUAL_WIDTH) - 2)

    def add_argument(self, action: argparse.Action) -> None:
        """Commands are set in, which their column heeds by itself in the newest Pythons only."""
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            length = len(str(command.metavar or command.dest)) + self._current_indent
            self._action_max_length = max(self._action_max_length, length)


class CommandParser(argparse.ArgumentParser):
    """A parser whose faults are the tool's own errors, with the options that commands share."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (argparse's own options)
        # One spelling for each option: scripts and `--format json` can rely on it.
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401  (argparse's own types)
        """A command tells of options that it does not know itself, not the program around it."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and " " in self.prog:
            # What follows an option may be its value or not: that hangs on the Python.
            options = [word for word in rest if word.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(options or rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that `--format json` holds for faults too."""
        near = _near(message) or self._near_option(message)
        hint = f"Did you mean {near!r}? " if near else ""
        fix = f"{hint}See `{self.prog} --help`."
        raise InvalidInputError("TG009", message, where=self.prog, fix=fix)

    def _near_option(self, message: str) -> str:
        """The option that a misspelt one resembles; empty without one."""
        import difflib

        unknown = message.partition("unrecognized arguments: ")[2]
        wrong = next((word for word in unknown.split() if word.startswith("--")), "")
        known = [*self._option_string_actions]
        return next(iter(difflib.get_close_matches(wrong.partition("=")[0], known, n=1)), "")

    def add_alias(self, option: str, name: str) -> None:
        """Another name of an option, which stands in no help."""
        self._option_string_actions[name] = self._option_string_actions[option]

    def add_flags(self, group: "OptionGroup | None" = None, **meanings: str) -> None:
        """Options without a value: `dry_run="store nothing"` adds `--dry-run` with that help."""
        for name, meaning in meanings.items():
            flag = f"--{name.replace('_', '-')}"
            (group or self).add_argument(flag, action="store_true", help=meaning)

    def add_format(self) -> None:
        """`--format`, text by default."""
        self.add_argument(
            "--format", choices=("text", "json"), default="text",
            help="output for people or for programs (default: %(default)s)",
        )  # fmt: skip

    def add_known_models(self, what: str = "folder of models, or one model file") -> None:
        """The models folder as optional positional argument; see `known_models`."""
        self.add_argument(
            "models", type=Path, nargs="?", metavar="MODELS",
            help=f"{what} (default: the last one built)",
        )  # fmt: skip

    def add_model_names(self) -> None:
        """Names of models, all of them by default."""
        self.add_argument(
            "-m", "--model", action="append", default=[], metavar="MODEL",
            help="only this model; may be repeated (default: every model)",
        )  # fmt: skip

    def add_repository(self) -> None:
        """The repository as optional positional argument."""
        self.add_argument(
            "repository", type=Path, nargs="?", default=DEFAULT_REPOSITORY, metavar="REPO",
            help="model repository (default: %(default)s)",
        )  # fmt: skip

    def add_repository_option(self, *names: str, purpose: str) -> None:
        """The repository as an option, such as `-r`; `purpose` says what it is for."""
        self.add_argument(
            *names, type=Path, default=DEFAULT_REPOSITORY, metavar="REPO",
            help=f"repository {purpose} (default: %(default)s)",
        )  # fmt: skip

    def add_grace(self, server: str) -> None:
        """How long a server that ends may take."""
        self.add_argument(
            "--grace", type=positive_float, default=30.0, metavar="SECONDS",
            help=f"before {server} is killed (default: %(default)s)",
        )  # fmt: skip

    def add_readiness(self) -> None:
        """How long a server's models may take to become ready, and what if one does not."""
        self.add_argument(
            "--timeout", type=positive_float, default=300.0, metavar="SECONDS",
            help="until every model is ready (default: %(default)s)",
        )  # fmt: skip
        self.add_flags(keep_going="leave the server up although a model failed")

    def add_time_limit(self, default_s: float | None, what: str) -> None:
        """How long answers of a server may take, all together; see `time_limit`."""
        shown = "none" if default_s is None else f"{default_s:g} s"
        self.add_argument(
            "--timeout", type=seconds, default=default_s, metavar="TIME",
            help=f"longest time {what} (default: {shown})",
        )  # fmt: skip

    def add_untrusted(self) -> None:
        """Whether code that was handed over may run."""
        self.add_argument(
            "--untrusted", action="store_true",
            default=os.environ.get(UNTRUSTED, "") not in {"", "0"},
            help="run no code of the folder: Python and Torch models are planned from what can be "
            f"read (default: {UNTRUSTED})",
        )  # fmt: skip

    def add_plan(self) -> None:
        """The file of `tritongen plan`."""
        self.add_argument(
            "--plan", type=Path, metavar="FILE",
            help="of `tritongen plan` (default: REPO.plan.json, where there is one)",
        )  # fmt: skip


# What other tools call a command.
_OTHER_WORDS = {
    **dict.fromkeys(("serve", "start", "run"), "up"),
    **dict.fromkeys(("stop", "kill"), "down"),
    **dict.fromkeys(("lint", "validate"), "check"),
    **dict.fromkeys(("bench", "benchmark", "load"), "probe"),
    **dict.fromkeys(("generate", "config"), "build"),
    **dict.fromkeys(("quantize", "convert", "fix"), "optimize"),
    "deploy": "export", "monitor": "observe", "why": "explain", "curl": "client",
}  # fmt: skip


def _near(message: str) -> str:
    """The choice that a misspelt one resembles; empty without one."""
    import difflib
    import re

    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    if found is None:
        return ""
    choices = re.findall(r"[\w.-]+", found[2])
    if (meant := _OTHER_WORDS.get(found[1])) in choices:
        return str(meant)
    return next(iter(difflib.get_close_matches(found[1], choices, n=1)), "")


def add_command(commands: Subparsers, name: str, summary: str, examples: str) -> CommandParser:
    """A command's parser with its examples at the end of its help."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0,
        help="say on stderr what is done and decided; -vv in full",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    return parser
