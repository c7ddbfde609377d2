"""`python -m tritongen`, and the console script."""

import gc
import os
import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C before it has begun ends the process without a traceback."""
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


if __name__ == "__main__":
    sys.exit(main())
