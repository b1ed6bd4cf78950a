"""A running process that is short of descriptors."""

import resource


class Limit:
    """Limit takes all free descriptor numbers from a running process until lift()."""

    def __init__(self, case, process, spare=0):
        self.process = process
        self.old = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        # Descriptors are given out from the lowest free number: a limit of that number leaves none.
        used = set(process.descriptors())
        free = (n for n in range(1 << 20) if n not in used)
        for _ in range(spare):
            next(free)
        self.set(next(free))
        case.undo(self.lift)

    def set(self, soft):
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (soft, self.old[1]))

    def lift(self):
        if self.process.running():
            self.set(self.old[0])
