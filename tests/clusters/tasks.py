"""Tasks that a worker can be sent."""

from __future__ import annotations

import os
import signal
import time

from metav_audit.errors import ConfigurationError


def square(number):
    return number * number


def pid(_):
    time.sleep(0.2)
    return os.getpid()


def refuse(_):
    raise ConfigurationError("no such")


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path):
    """Write down the try; of the task "1" the first try ends its worker."""
    with open(f"{path}.tries", "ab") as file:
        file.write(b"x")
    time.sleep(0.3)
    if path.name == "1" and os.stat(f"{path}.tries").st_size == 1:
        die(path)
