"""A command that ends when its parent does, and that root runs as an unprivileged user.

In a process with threads, Python code between fork and exec is unsafe. So this file is the first
program of the child: it prepares its own process, and then executes the command.
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
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def spawn(
    command: Sequence[str | Path],
    death_signal: signal.Signals,
    *,
    user: str = "",
    enter_any_directory: bool = False,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a command that gets `death_signal` when the thread that called this ends.

    It runs in its own session, so that only its parent gets a Ctrl-C. Root can set the `user` that
    it runs as, and with `enter_any_directory` it keeps a capability for that.
    Only Linux sends the signal: elsewhere the command can outlive a parent that is killed.
    `options` are those of Popen.
    """
    arguments = [
        *(str(int(death_signal)), str(os.getpid()), user),
        "enter-any-directory" if enter_any_directory else "",
    ]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", __file__, *arguments, *map(str, command)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )


def _prepare_process_and_exec(
    death_signal: str, parent_pid: str, user: str, enter_any_directory: str, *command: str
) -> None:
    # No KeyboardInterrupt of this interpreter, and no handling inherited from `nohup`.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    try:
        if user:
            _drop_privileges(pwd.getpwnam(user), bool(enter_any_directory))
    except OSError as error:
        sys.exit(f"FATAL:  root cannot become {user} here ({error.strerror}): use another user.")
    set_parent_death_signal(int(parent_pid), int(death_signal))
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"FATAL:  {command[0]} does not run here: {error.strerror}.")


def _drop_privileges(account: pwd.struct_passwd, enter_any_directory: bool) -> None:
    """Become `account`, but keep root's group: the private directory is open to that group only."""
    if enter_any_directory:
        # PR_SET_KEEPCAPS is not enough: without this bit access(2), which PostgreSQL calls for its
        # own files, ignores the capabilities of all users but root.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(0)
    os.setuid(account.pw_uid)
    if enter_any_directory:
        try:
            _keep_capability(CAP_DAC_READ_SEARCH)
        except PermissionError:
            # Root in a container of Docker has only this one, which bypasses all permissions.
            _keep_capability(CAP_DAC_OVERRIDE)


def _keep_capability(capability: int) -> None:
    """Keep one of root's capabilities, also after exec (which makes it an ambient one).

    util-linux's `setpriv` is missing in some images, and cannot check whether the parent still
    lives after it has set the parent-death signal.
    """
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(bit, bit, bit)
    if ctypes.CDLL(None, use_errno=True).capset(header, effective_permitted_inheritable):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def set_parent_death_signal(parent_pid: int, death_signal: int) -> None:
    """Have this process sent a signal when its parent ends; exit if the parent has ended.

    Call it after any change of user, which clears the signal. Does nothing outside Linux.
    """
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent_pid:
        os._exit(1)


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *padded):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    _prepare_process_and_exec(*sys.argv[1:])
