"""Starts a process some of whose arguments no other user of the machine can read.

A command line is public, and tritonserver takes its keys from nowhere else. So it is started with
other words in their place, and with the secret ones in its environment, which is private. It stops
before its first instruction, and here the pointers to those words are turned to the secret ones:
the kernel shows what the words were when the process began.
"""

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tritongen.serving.embedded import launcher
from tritongen.serving.embedded.launcher import ARGUMENT, LIBRARIES, NO_TRACE

_CONTINUE, _GETREGS, _DETACH = 7, 12, 17  # of ptrace
_REGISTERS, _STACK_POINTER = 27, 19  # of sys/user.h's user_regs_struct
_WORD = 8


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and how.

    Attributes:
        arguments: the program's path first.
        variables: the whole environment, LD_LIBRARY_PATH included.
        secrets: texts that no argument may show.
        folder: to work in.
        output: takes what it writes.
    """

    arguments: Sequence[str]
    variables: Mapping[str, str]
    secrets: Sequence[str]
    folder: Path
    output: IO[bytes]

    def process(self, how: str) -> "subprocess.Popen[bytes]":
        """The launcher, which becomes the program; in a session of its own."""
        shown, hidden = list(self.arguments), {}
        for number, word in enumerate(self.arguments):
            if any(secret in word for secret in self.secrets):
                hidden[f"{ARGUMENT}{number}"] = word
                for secret in self.secrets:
                    shown[number] = shown[number].replace(secret, "hidden")
        variables = dict(self.variables)
        # The launcher itself is not to load the libraries of the server.
        variables[LIBRARIES] = variables.pop("LD_LIBRARY_PATH", "")
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(launcher.__file__)), how, *shown],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env={**variables, **hidden},
            cwd=self.folder,
            start_new_session=True,
        )


def start(program: Program) -> "subprocess.Popen[bytes]":
    """The running program, its secrets hidden unless a process may not trace its own child here.

    Raises:
        OSError: the program cannot be run.
    """
    process = program.process("traced")
    try:
        if _begun(process):
            if _turned(process.pid):
                return process
            process.kill()
            process.wait()
            return program.process("plain")
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != NO_TRACE:
        # A signal ended it, where there is no exit code.
        number = max(process.returncode, 0) or errno.EINTR
        raise OSError(number, os.strerror(number), program.arguments[0])
    return program.process("plain")


def _begun(process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the launcher has become the program and stopped; False when it has ended."""
    while True:
        _, status = os.waitpid(process.pid, 0)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return False
        if os.WSTOPSIG(status) == signal.SIGTRAP:
            return True
        _ptrace(_CONTINUE, process.pid, os.WSTOPSIG(status))  # a signal on its way to it


def _turned(pid: int) -> bool:
    """Put the secrets in and let the process go; False where the kernel forbids a part of it."""
    try:
        _turn(pid)
        _ptrace(_DETACH, pid)
    except OSError:
        return False
    return True


def _turn(pid: int) -> None:
    """Point the arguments of a process that has just begun to the secret ones.

    Above its stack pointer stand the number of its arguments, a pointer to each, a zero, and a
    pointer to each variable.
    """
    registers = (ctypes.c_ulong * _REGISTERS)()
    _ptrace(_GETREGS, pid, ctypes.addressof(registers))
    stack = registers[_STACK_POINTER]
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        (count,) = struct.unpack("Q", os.pread(memory, _WORD, stack))
        variables = stack + (count + 2) * _WORD
        for place in range(variables, variables + (1 << 20), _WORD):
            (address,) = struct.unpack("Q", os.pread(memory, _WORD, place))
            if not address:
                return
            text = os.pread(memory, len(ARGUMENT) + 8, address)
            if text.startswith(ARGUMENT.encode()):
                name = text.partition(b"=")[0]
                number = int(name.removeprefix(ARGUMENT.encode()))
                secret = struct.pack("Q", address + len(name) + 1)
                os.pwrite(memory, secret, stack + (1 + number) * _WORD)
                # Its own children need not inherit it: another variable stands there twice.
                os.pwrite(memory, os.pread(memory, _WORD, variables), place)
    finally:
        os.close(memory)


def _ptrace(request: int, pid: int, data: int | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
