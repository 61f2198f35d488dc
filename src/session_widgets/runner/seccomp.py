"""Closes what leads out of a sandbox without a network past the kernel's network namespaces (Linux).

Sockets of the family VSOCK lead to the hypervisor of a virtual machine, in which clouds and Docker Desktop run
containers; Docker's own filter has refused them since release 23. io_uring could open one without the system call, and
another processor's system calls have other numbers: both are absent.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's name of each processor, with the number of `socket`."""
_IO_URING_SETUP, _X32, _AF_VSOCK = 425, 0x40000000, 40
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _PROCESSOR, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def close_ways_past_the_network() -> None:
    """Filter the system calls of this process and all that it starts, for ever.

    Raises:
        ValueError: the filter cannot be set; without it the sandbox is not confined.
    """
    processor = os.uname().machine
    if processor not in _SYSTEM_CALLS:
        raise ValueError(f"a sandbox without a network is not supported on {processor}")
    code = _code(*_SYSTEM_CALLS[processor])
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)):
        raise ValueError(f"system calls cannot be filtered: {os.strerror(ctypes.get_errno())}")


def _code(processor: int, socket: int) -> bytes:
    """Return the program; a jump skips as many instructions as it says."""
    absent, refused = _FAIL | errno.ENOSYS, _FAIL | errno.EAFNOSUPPORT
    instructions = (
        (_LOAD, 0, 0, _PROCESSOR),
        (_EQUAL, 0, 7, processor),  # else absent
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 5, 0, _X32),  # absent
        (_EQUAL, 4, 0, _IO_URING_SETUP),  # absent
        (_EQUAL, 0, 2, socket),  # else allowed
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 2, 0, _AF_VSOCK),  # refused
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, absent),
        (_RETURN, 0, 0, refused),
    )
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)
