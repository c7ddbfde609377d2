"""What the functions of the API have in common."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from tritongen.api.documents import whole_document
from tritongen.errors import ExitCode

# Without a handler Python prints warnings on stderr by itself.
logging.getLogger("tritongen").addHandler(logging.NullHandler())


class ApiResult(ABC):
    """What a function of the API returns; it is frozen."""

    __slots__ = ()

    @property
    def exit_code(self) -> ExitCode:
        """What the command tells its caller for the same result."""
        return ExitCode.OK

    @abstractmethod
    def _document(self) -> Mapping[str, object]:
        """The document before its values are plain."""

    def to_dict(self) -> dict[str, Any]:
        """The document that the command prints with `--format json`, as plain values."""
        return whole_document(self._document())
