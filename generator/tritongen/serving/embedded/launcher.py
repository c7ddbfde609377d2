"""Becomes the server, after it has cut what other users of the machine could see of it.

The module runs by itself, with the standard library alone: ``python -I -S launcher.py HOW PROGRAM
ARGUMENT…``. A command line is there for everybody to read, an environment only for its user. So an
argument that is a secret comes in the environment: ``TRITONGEN_ARGUMENT_<n>`` is the n-th word from
PROGRAM on, where another word stands in its place. With ``traced`` as HOW, the process stops when
it is the server, and its parent puts the secret arguments in (see `hidden`); with ``plain``, they
are put in before, and can be read. ``LD_LIBRARY_PATH`` comes as ``TRITONGEN_LIBRARIES``.
"""

import ctypes
import os
import struct
import sys

ARGUMENT, LIBRARIES = "TRITONGEN_ARGUMENT_", "TRITONGEN_LIBRARIES"
# The exit code where there is no server yet and it could not be traced; no error has this number.
NO_TRACE = 200

_PTRACE_TRACEME = 0
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
# A filter of system calls, as linux/filter.h and linux/seccomp.h have it.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOWED, _ANSWERED_WITH_0 = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24  # offsets
_X86_64, _FCHMOD = 0xC000003E, 91
_BOOST_MODE = 0o644


def keep_regions_private() -> None:
    """Leave the mode of shared memory to the mask: Boost sets 0644 after it has made a region.

    Nothing is lost where the kernel has no such filters but that other users may read tensors.
    """
    # (operation, jump if so, jump if not, operand)
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_JUMP_IF_EQUAL, 0, 5, _X86_64),
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_IF_EQUAL, 0, 3, _FCHMOD),
            (_LOAD, 0, 0, _SECOND_ARGUMENT),
            (_JUMP_IF_EQUAL, 0, 1, _BOOST_MODE),
            (_RETURN, 0, 0, _ANSWERED_WITH_0),
            (_RETURN, 0, 0, _ALLOWED),
        )
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(header), 0, 0)


def given_variables() -> dict[str, str]:
    """The environment as it was given: Python adds a variable in some locales."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123  (pathlib doubles the start's time)
        entries = file.read().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, separator, value in pairs if separator}


def main(how: str, arguments: list[str]) -> int:
    """Become the server.

    Returns:
        The number of the error that prevents it, or NO_TRACE.
    """
    variables = given_variables()
    variables["LD_LIBRARY_PATH"] = variables.pop(LIBRARIES)
    os.umask(0o077)
    keep_regions_private()
    if how == "traced":
        if ctypes.CDLL(None).ptrace(_PTRACE_TRACEME, 0, None, None):
            return NO_TRACE
    else:
        sys.stderr.write("Other users of this machine can read this server's keys with `ps`.\n")
        for name in [name for name in variables if name.startswith(ARGUMENT)]:
            arguments[int(name.removeprefix(ARGUMENT))] = variables.pop(name)
    try:
        os.execve(arguments[0], arguments, variables)  # noqa: S606  (no shell is wanted)
    except OSError as problem:
        sys.stderr.write(f"{arguments[0]} cannot be run: {problem.strerror}\n")
        return problem.errno or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
