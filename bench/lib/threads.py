"""CPU time by thread."""

import os


def cpu_by_thread(pid):
    """cpu_by_thread is the CPU time in seconds of a process's threads, added up by their names, as its scheduler counts it."""
    spent = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
                name = file.read().strip()
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                spent[name] = spent.get(name, 0.0) + int(file.read().split()[0]) / 1e9
        except FileNotFoundError:
            pass  # it has ended meanwhile
    return spent
