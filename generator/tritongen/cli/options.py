"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]  # noqa: SLF001  (argparse gives it no public name)
else:
    Subparsers = Any


def add_command(
    commands: Subparsers, name: str, summary: str, examples: str
) -> argparse.ArgumentParser:
    """A command's parser with its examples at the end of its help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_format(parser: argparse.ArgumentParser, *choices: str) -> None:
    """`--format`, text by default."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *choices),
        default="text",
        help="output for people or for programs (default: %(default)s)",
    )


def add_models(parser: argparse.ArgumentParser) -> None:
    """The models folder as positional argument."""
    parser.add_argument("models", type=Path, metavar="MODELS", help="folder of models")


def add_repository(parser: argparse.ArgumentParser) -> None:
    """The repository as optional positional argument."""
    parser.add_argument(
        "repository",
        type=Path,
        nargs="?",
        default=Path("model_repository"),
        metavar="REPO",
        help="model repository (default: %(default)s)",
    )


def positive_float(text: str) -> float:
    """A number above 0, for `type=`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def existing_folder(path: Path) -> Path:
    """The path when it is a folder.

    Raises:
        InvalidInputError: TG002, it is not.
    """
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InvalidInputError("TG002", what, where=str(path))
    return path
