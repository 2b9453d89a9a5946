"""A command that ends when its parent does, and that root runs as an unprivileged user.

Between fork and exec Python may run nothing safely once there are threads. So this file is the
first program of the child: it prepares its own process, and then becomes the command.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# linux/prctl.h, linux/securebits.h, linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1


def spawn(
    command: Sequence[str | Path],
    farewell: signal.Signals,
    *,
    user: str = "",
    override: bool = False,
    **how: Any,
) -> subprocess.Popen[bytes]:
    """Start a command that gets the signal `farewell` when the thread that called this ends.

    It runs in a session of its own, so that a Ctrl-C reaches its parent alone. Root may give the
    `user` that it shall run as, and with `override` leaves it the right to pass any directory.
    Only Linux sends a farewell: elsewhere the command may outlive a parent that is killed.
    """
    orders = [str(int(farewell)), str(os.getpid()), user, "override" if override else ""]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", __file__, *orders, *map(str, command)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **how,
    )


def _main(farewell: str, parent: str, user: str, override: str, *command: str) -> None:
    # Neither a KeyboardInterrupt of this interpreter nor a disposition inherited from `nohup`.
    for request in (signal.SIGINT, signal.SIGTERM):
        signal.signal(request, signal.SIG_DFL)
    try:
        if user:
            _drop_privileges(pwd.getpwnam(user), bool(override))
    except OSError as error:
        sys.exit(f"FATAL:  root may not act as {user} here ({error.strerror}): be somebody else.")
    set_parent_death_signal(int(parent), int(farewell))
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"FATAL:  {command[0]} does not run here: {error.strerror}.")


def _drop_privileges(account: pwd.struct_passwd, override: bool) -> None:
    """Give up root. The group stays root's: what is open to it alone is closed to `account`."""
    if override:
        # Not merely PR_SET_KEEPCAPS: access(2), with which PostgreSQL looks for its own files,
        # ignores the capabilities of all users but root unless this bit is set.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(0)
    os.setuid(account.pw_uid)
    if override:
        _keep_capability(CAP_DAC_OVERRIDE)


def _keep_capability(capability: int) -> None:
    """Keep one capability of root's, through exec too: that is what ambient means.

    Done here and not with util-linux's `setpriv`, which some images lack and which could not
    check, after the parent-death signal is set, whether the parent still lives.
    """
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(bit, bit, bit)
    if ctypes.CDLL(None, use_errno=True).capset(header, effective_permitted_inheritable):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def set_parent_death_signal(parent: int, farewell: int) -> None:
    """Have this process sent a signal when its parent ends; end at once if it has.

    To be called after any change of user, which clears it. Does nothing where there is no Linux.
    """
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, farewell)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, *arguments: int) -> None:
    filled = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *filled):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
