"""Become another program, on a leash: it gets a signal when the process that started it dies.

Run as a script, with the standard library alone (`python -I -S leash.py ...`):

    leash.py PARENT_PID SIGNAL UID:GID|- bare|whole ARGV...     become ARGV, as UID and GID
    leash.py detach PID_FD ARGV...                              become ARGV in its own session

`whole` keeps the environment; `bare` is for servers. This program itself always needs the whole
one, where Python is found through LD_LIBRARY_PATH.

The kernel's parent-death signal must be set after the change of user, which clears it, and in the
child itself; a program of its own does that without running Python between fork and exec of a
process that may have threads. The signal comes when the starting *thread* ends: start from one
that lives as long as its children should. Where there is no such signal (macOS), the next start
cleans up.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1

# Nothing of ours leaks into the servers; PGDATA and its like would change what they do.
BARE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def become(
    parent: int, signal_number: int, account: str, environment: str, argv: list[str]
) -> None:
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the launcher has gone")
    if environment == "bare":
        os.environ.clear()
        os.environ.update(BARE_ENVIRONMENT)
    execute(argv)


def detach(pid_fd: int, argv: list[str]) -> None:
    """Fork, so that nobody has to wait for the program, and say its process id on `pid_fd`."""
    pid = os.fork()
    if pid:
        os.write(pid_fd, b"%d\n" % pid)
        return
    os.setsid()
    execute(argv)


def execute(argv: list[str]) -> None:
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    if sys.argv[1] == "detach":
        detach(int(sys.argv[2]), sys.argv[3:])
    else:
        become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
