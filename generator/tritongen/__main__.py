"""`python -m tritongen`, and the console script.

The console script is the safe way: ``python -m`` looks for the package itself in the current folder
first, before a line of it runs.
"""

import gc
import os
import sys


def main() -> int:
    """Run the command line; Ctrl-C before it has begun ends the process without a traceback."""
    import signal  # no sooner than the current folder is off the path

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # `run` takes it back when it can answer
    gc.disable()  # modules that load leave no garbage
    from tritongen.cli import main as run

    gc.enable()
    code = run()
    _leave(code)
    return code


def _leave(code: int) -> None:
    """End the process at once: taking hundreds of modules apart would take a dozen milliseconds."""
    import atexit
    import threading

    main = threading.main_thread()
    if any(not (thread is main or thread.daemon) for thread in threading.enumerate()):
        return  # as usual: a thread may have something to finish
    atexit._run_exitfuncs()  # noqa: SLF001  (what registered itself runs as at every end)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # the usual end tells of it
    os._exit(code)


def _leave_out_current_folder() -> None:
    """Import nothing from the current folder, which ``-m`` has put first on the path.

    It stays where it holds the package itself, as with the sources. Every import here is a module
    that the interpreter had loaded before it put the folder there.
    """
    first = sys.path[0] if sys.path and not sys.flags.safe_path else None
    holds_package = first == __file__.rpartition("/tritongen/")[0]
    if first == os.getcwd() and not holds_package:  # noqa: PTH109  (pathlib is not loaded yet)
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_current_folder()
    sys.exit(main())
