"""The tool as another system would run it: what only Linux has is hidden from it.

Run as a program with a command's arguments. Modules and calls of Linux are missing for the tool's
own code; its libraries, which have builds for other systems, keep theirs.
"""

import builtins
import os
import select
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

HIDDEN = frozenset({"fcntl", "resource"})
_import = builtins.__import__


def _imported(name: str, *rest: Any, **more: Any) -> Any:
    scope = rest[0] if rest else more.get("globals")
    if name in HIDDEN and scope and str(scope.get("__name__", "")).startswith("tritongen"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, *rest, **more)


def hide() -> None:
    """From now on this process is no Linux."""
    sysconfig.get_config_vars()  # of this build of Python, which stays the same
    builtins.__import__ = _imported
    sys.platform = "darwin"
    for module, beginnings in ((select, ("epoll", "EPOLL")), (os, ("sched_", "eventfd"))):
        for name in [name for name in dir(module) if name.startswith(beginnings)]:
            delattr(module, name)
    # Python's own for proxies, on a system with such settings.
    proxies = types.ModuleType("_scproxy")
    proxies._get_proxies = proxies._get_proxy_settings = dict  # type: ignore[attr-defined]  # as there
    sys.modules["_scproxy"] = proxies
    from tritongen.system import process_files

    process_files._PROC = Path("/nowhere")


if __name__ == "__main__":
    hide()
    from tritongen.cli.main import main

    sys.exit(main())
