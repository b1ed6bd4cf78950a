"""Python packages that suites ask for, each in a virtual environment of its own, in the cache."""

import os
import subprocess
from pathlib import Path

from lib import check


def installed(name, version, holds, *options):
    """installed is the environment's folder, in which `holds`, a pattern, is there once the package is; or a loud skip.
    options: pip's."""
    cache = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    folder = Path(cache) / f"{name}-{version}"
    if not any(folder.glob(holds)):
        for step in (["/usr/bin/python3", "-m", "venv", folder],
                     [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *options,
                      f"{name}=={version}"]):
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise check.Skip(f"{name} {version} could not be installed: {(done.stderr or done.stdout)[-300:]}")
    return folder
