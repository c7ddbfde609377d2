"""The stack on which the main thread takes signals."""

import ctypes

_DISABLED = 2


class _Stack(ctypes.Structure):
    """``stack_t`` of <signal.h>."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def take_signals_on_the_usual_stack() -> None:
    """Give up the alternative one of this thread.

    OpenVINO sets one for as long as a compiled model lives and then puts back the one of before, so
    that two models which do not end in the reverse order leave one that is gone: the next signal
    ends the process with SIGSEGV. Seen with OpenVINO 2026.4 and a real timer.
    """
    stack = _Stack(None, _DISABLED, 0)
    if ctypes.CDLL(None, use_errno=True).sigaltstack(ctypes.byref(stack), None):
        raise OSError(ctypes.get_errno(), "sigaltstack")
