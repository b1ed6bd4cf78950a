#!/usr/bin/env python3
"""What the parts of the shop need of Debian, and whether it is here. Run: needs.py [--missing]"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple

import pictures

Need = namedtuple("Need", "part packages why here without")


def _programs(*names):
    """Debian keeps daemons where a user's PATH does not look."""
    return lambda: all(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") for name in names)


def _files(*paths):
    return lambda: all(os.path.exists(path) for path in paths)


def _opencv():
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
    return subprocess.run(["/usr/bin/python3", "-c", "import cv2"], **quiet).returncode == 0


CASCADE = _files("/usr/share/opencv4/haarcascades/haarcascade_frontalface_alt.xml")
HOPPER = _files("/usr/share/matplotlib/mpl-data/sample_data/grace_hopper.jpg")
EMOJIS = _files("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LETTERS = _files("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")

# part, Debian's packages, what for, whether it is here, what the run is without it
NEEDS = [
    Need("ingress", ["nginx"], "nginx, the way into the shop", _programs("nginx"), None),
    Need("payment", ["default-jdk-headless"], "Java for the payment gateway: server and compiler are the JDK's",
         _programs("java", "javac"), "the payment gateway is the one in Python"),
    Need("facebox", ["python3-opencv"], "OpenCV, which finds faces", _opencv, "facebox knows the drawn picture alone"),
    Need("facebox", ["opencv-data"], "the cascade that knows what a face is", CASCADE,
         "facebox knows the drawn picture alone"),
    Need("pictures", ["python-matplotlib-data"], "a picture: Grace Hopper", HOPPER,
         "the shop has the drawn picture alone"),
    Need("browser", ["chromium"], "a real browser that shows the page", _programs("chromium"),
         "no browser: the page is asked for, and not looked at"),
    Need("browser", ["fonts-noto-color-emoji"], "emojis in colour", EMOJIS, "emojis are whatever font is there"),
    Need("browser", ["fonts-dejavu-core"], "letters", LETTERS, "letters are whatever font is there"),
]

# Packages of which a file or two are wanted, and whose installation would bring half a gigabyte of others: they are
# unpacked into a folder.
UNPACKED = [
    ("python3-skimage", "two pictures: Eileen Collins, and a cat, which has no face that counts"),
]


def pictures_folder():
    """pictures_folder is where the pictures of UNPACKED are kept, beside what else Mooring's examples keep."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(os.environ.get("MOORING_CACHE") or os.path.join(home, "mooring"), "pictures")


def missing(parts=None):
    """missing has the needs that are not here, of these parts or of all."""
    return [need for need in NEEDS if (parts is None or need.part in parts) and not need.here()]


def _run(folder, *command):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def unpack(folder=None, say=print):
    """unpack gets the pictures of UNPACKED into the folder, and has a line for each package that could not be had.

    Only what this shop knows of the package stays there."""
    folder, problems = folder or pictures_folder(), []
    for package, why in UNPACKED:
        wanted = [file for file, owner, *_ in pictures.KNOWN if owner == package]
        if any(all(os.path.exists(os.path.join(root, file)) for file in wanted) for root in ("/", folder)):
            continue
        say(f"unpacking Debian's package {package}, {why}")
        with tempfile.TemporaryDirectory() as scratch:
            done = _run(scratch, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package)
            archives = [name for name in os.listdir(scratch) if name.endswith(".deb")]
            if done.returncode != 0 or not archives:
                problems.append(f"{package}: {(done.stderr.strip() or 'no archive').splitlines()[-1]}")
                continue
            tree = os.path.join(scratch, "tree")
            done = _run(scratch, "dpkg-deb", "-x", archives[0], tree)
            for file in wanted:
                source, target = os.path.join(tree, file), os.path.join(folder, file)
                if not os.path.exists(source):
                    problems.append(f"{package}: no {file} in it")
                    continue
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(source, target + ".new")
                os.rename(target + ".new", target)
    return problems


if __name__ == "__main__":
    if sys.argv[1:] == ["--missing"]:
        print(" ".join(sorted({package for need in missing() for package in need.packages})))
        sys.exit()
    for need in NEEDS:
        print(f"{'here   ' if need.here() else 'missing'} {need.part:9} {' '.join(need.packages):24} {need.why}")
    for package, why in UNPACKED:
        print(f"unpacked {'pictures':8} {package:24} {why}")
