"""Another user of the machine, who owns nothing of ours."""

import os
import shutil
from pathlib import Path

from lib import check

USER = 64999  # a uid that nothing else runs under


def program(case):
    """program is a path by which the stranger can run what is tested: the build may lie below a folder that is closed to others, as
    /root is. The case's directory is open to all from here on."""
    if os.geteuid() != 0:
        raise check.Skip("becoming another user needs root")
    os.chmod(case.directory, 0o711)
    built = Path(os.environ["MOORING_BIN"]).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in built.parents):
        return str(built)
    copy = case.directory / "mooring"
    shutil.copy(built, copy)
    copy.chmod(0o755)
    return str(copy)
