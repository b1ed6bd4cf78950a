"""Which errors a system call of a correct program can meet, by the manual page of each, and which calls cannot fail or be made to.

EBADF, EFAULT, EINVAL and the like are mistakes of the caller's and left out.
"""

_FULL = ("EIO", "ENOSPC", "EDQUOT")
_ROUTE = ("ENETUNREACH", "EHOSTUNREACH")
_FILES = ("EMFILE", "ENFILE")
_MEMORY = ("ENOBUFS", "ENOMEM")

ERRORS = {
    # Sockets.
    "accept4": ("EINTR", "EAGAIN", "ECONNABORTED", "EPROTO", "EPERM", *_FILES, *_MEMORY),
    "bind": ("EADDRINUSE", "EACCES", "ENOMEM"),
    "connect": ("EINTR", "EAGAIN", "ECONNREFUSED", "ETIMEDOUT", "EADDRNOTAVAIL", "EACCES", "EPERM", *_ROUTE),
    "getpeername": ("ENOTCONN", "ENOBUFS"),
    "getsockname": ("ENOBUFS",),
    "getsockopt": ("ENOPROTOOPT", "ENOMEM"),
    "ioctl": ("ENOTTY", "ENOMEM"),
    "listen": ("EADDRINUSE",),
    "recvfrom": ("EINTR", "EAGAIN", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENOMEM"),
    "recvmsg": ("EINTR", "EAGAIN", "ECONNRESET", "ETIMEDOUT", "ENOMEM"),
    "sendmsg": ("EINTR", "EAGAIN", "ECONNRESET", "EPIPE", *_MEMORY),
    "sendto": ("EINTR", "EAGAIN", "ECONNRESET", "EPIPE", *_MEMORY),
    "setsockopt": ("ENOPROTOOPT", *_MEMORY),
    "socket": ("EACCES", *_FILES, *_MEMORY),
    # Waiting.
    "epoll_create1": (*_FILES, "ENOMEM"),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_pwait": ("EINTR",),
    "epoll_wait": ("EINTR",),
    "eventfd2": (*_FILES, "ENOMEM"),
    "poll": ("EINTR", "ENOMEM"),
    # Files, and what is read and written like one.
    "close": ("EINTR", "EIO"),
    "fchmod": ("EPERM", "EROFS", "EIO"),
    "fcntl": ("EMFILE",),
    "fstat": ("EIO", "ENOMEM"),
    "fsync": ("EINTR", *_FULL),
    "mkdirat": ("EACCES", "EROFS", *_FULL),
    "newfstatat": ("EACCES", "EIO", "ENOMEM"),
    "openat": ("EINTR", "EACCES", "EROFS", "ENOMEM", *_FILES, *_FULL),
    "read": ("EINTR", "EAGAIN", "EIO"),
    "renameat": ("EACCES", "EROFS", *_FULL),
    "unlinkat": ("EACCES", "EROFS", "EIO"),
    "write": ("EINTR", "EAGAIN", "EPIPE", "EFBIG", *_FULL),
    "writev": ("EINTR", "EAGAIN", "EPIPE", *_FULL),
    # Memory.
    "madvise": ("EAGAIN", "ENOMEM"),
    "mmap": ("EAGAIN", "ENOMEM"),
    "mprotect": ("ENOMEM",),
    "mremap": ("ENOMEM",),
    "munmap": ("ENOMEM",),
}

# In threads that have a loop read and write are those of an eventfd, which wakes it up: a full one says EAGAIN to who writes, and
# has a wake-up in it then; an injected EAGAIN has none.
_WAKE = {"read": ("EINTR", "EAGAIN"), "write": ("EINTR",)}
IN_THREAD = {(thread, call): errors for thread in ("mooring", "worker") for call, errors in _WAKE.items()}

# Calls that are met and not made to fail, each with the reason.
UNFALLIBLE = {
    "brk": "tells by its result that it failed, not by an error, so the injected error is an address",
    "clock_nanosleep": "fails by a signal alone",
    "exit": "does not return",
    "futex": "an injected error keeps a wake-up from being sent, which the kernel never does",
    "geteuid": "cannot fail",
    "getpid": "cannot fail",
    "getrandom": "cannot fail once the kernel has had entropy (getrandom(2)), for requests as short as ours",
    "getrusage": "fails by mistakes of the caller's alone",
    "gettid": "cannot fail",
    "prlimit64": "only asks here, and cannot fail at that",
    "restart_syscall": "goes on with a call that a signal has stopped",
    "rt_sigprocmask": "fails by mistakes of the caller's alone",
    "rt_sigreturn": "does not return",
    "sched_yield": "cannot fail",
    "shutdown": "fails for a connection that is over (ENOTCONN) alone, which epoll reports besides, and not where it is injected",
}


def errors(thread, call):
    """errors are those to inject into the calls of a thread, by its name."""
    return IN_THREAD.get((thread, call)) or ERRORS[call]
