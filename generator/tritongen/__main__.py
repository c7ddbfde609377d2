"""`python -m tritongen`, and the console script."""

import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C before it has begun ends the process without a traceback."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tritongen.cli import main as run

    signal.signal(signal.SIGINT, usual)
    return run()


if __name__ == "__main__":
    sys.exit(main())
