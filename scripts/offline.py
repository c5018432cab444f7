"""Run this Python with the given arguments in a network namespace that has only `lo`, and lo up.

Usage: python scripts/offline.py -m pytest ...
Where the system refuses `unshare` the campaign is reported as not run, and the exit code is 0: nothing was shown.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
INSIDE = "--inside"


def unshare_command() -> list[str] | None:
    """The prefix that opens a namespace here: as root plainly, else through a user namespace; None if refused."""
    if shutil.which("unshare") is None:
        return None
    for command in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None


def bring_lo_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def interfaces() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def main(arguments: list[str]) -> int:
    if arguments[:1] == [INSIDE]:
        bring_lo_up()
        print(f"network namespace with: {', '.join(interfaces())}", flush=True)
        os.execv(sys.executable, [sys.executable, *arguments[1:]])
    prefix = unshare_command()
    if prefix is None:
        print("not run: this system refuses a network namespace (unshare)")
        return 0
    return subprocess.run([*prefix, sys.executable, __file__, INSIDE, *arguments], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
