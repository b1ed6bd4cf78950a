"""What the figures were measured on."""

import datetime
import os
import platform
import resource


def _cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                    platform.machine())


def describe():
    return {"cpu": _cpu_model(), "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "load_before": round(os.getloadavg()[0], 2), "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}


def line(machine):
    return (f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['date']}; load average "
            f"before the run {machine['load_before']}")
