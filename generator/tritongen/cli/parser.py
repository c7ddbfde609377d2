"""The parser of a command, and the options that several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tritongen.cli import streams
from tritongen.cli.options import positive_float
from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    # argparse gives them no public names.
    Subparsers = argparse._SubParsersAction["CommandParser"]  # noqa: SLF001  (as above)
    OptionGroup = argparse._ArgumentGroup  # noqa: SLF001  (as above)
else:
    Subparsers = Any

DEFAULT_REPOSITORY = Path("model_repository")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, which argparse would load archive formats to learn."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=streams.width() - 2)


class CommandParser(argparse.ArgumentParser):
    """A parser whose faults are the tool's own errors, with the options that commands share."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (argparse's own options)
        # One spelling for each option: scripts and `--format json` can rely on it.
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401  (argparse's own types)
        """A command tells of options that it does not know itself, not the program around it."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and " " in self.prog:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
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

    def add_models(self) -> None:
        """The models folder as positional argument."""
        self.add_argument("models", type=Path, metavar="MODELS", help="folder of models")

    def add_known_models(self, what: str = "folder of models") -> None:
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

    def add_plan(self) -> None:
        """The file of `tritongen plan`."""
        self.add_argument(
            "--plan", type=Path, metavar="FILE", help="plan (default: REPO.plan.json)"
        )


def _near(message: str) -> str:
    """The choice that a misspelt one resembles; empty without one."""
    import difflib
    import re

    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    if found is None:
        return ""
    choices = re.findall(r"[\w.-]+", found[2])
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
