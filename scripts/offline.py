"""Run this Python with the given arguments where there is no network, and count what tries to leave all the same.

Usage: python scripts/offline.py [--record] -m pytest ...

In a network namespace that has only `lo`, up, the kernel counts every connection and datagram that finds no way out
(IpOutNoRoutes, Ip6OutNoRoutes), whatever process and whatever code made it; child processes are in the same namespace.
A Python process that is refused before it asks the kernel, as the tests are by their own guard, is counted by an audit
hook. Before the run both counters are tried: one attempt each of TCP and UDP over IPv4 and IPv6 has to show. Exit 1
where anything tried to leave. Where the system refuses `unshare` the campaign is reported as not run, and the exit code
is 0: nothing was shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import record

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
INSIDE = "--inside"
OUTSIDE = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)  # documentation only: RFC 5737, RFC 3849
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
PLANTED = {"192.0.2.1", "example.org"}  # by the test that shows that the guard of the tests works
HOOK = """
import os, sys

def _note(event, arguments, _log=os.environ.get("OFFLINE_ATTEMPTS_LOG")):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if _log and host not in ("127.0.0.1", "::1", "localhost", "", None):
        fd = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, (str(host).replace("\\n", " ") + "\\n").encode())
        os.close(fd)

sys.addaudithook(_note)
"""


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


def refused_by_the_kernel() -> int | None:
    """Connections and datagrams of this namespace that found no way out; None where the kernel does not say."""
    try:
        names, values = [
            line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")
        ]
        total = int(values[names.index("OutNoRoutes")])
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/snmp6").read_text().splitlines():
            if line.startswith("Ip6OutNoRoutes"):
                total += int(line.split()[1])
    return total


def attempts_that_show() -> tuple[int, int]:
    """(made, counted by the kernel): the counter's own trial."""
    before, made = refused_by_the_kernel() or 0, 0
    for family, host in OUTSIDE:
        for kind in KINDS:
            with contextlib.suppress(OSError), socket.socket(family, kind) as sock:
                made += 1
                sock.connect((host, 9))
    return made, (refused_by_the_kernel() or 0) - before


def noted_by_python(log: Path) -> list[str]:
    """Hosts that Python processes asked for, without those that the test of the guard plants."""
    hosts = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    return [host for host in hosts if host not in PLANTED]


def run_and_count(arguments: list[str], folder: Path) -> tuple[int, str, bool]:
    """Exit code of the run, the figure in words, and whether it is zero."""
    made, shown = attempts_that_show()
    if refused_by_the_kernel() is None or shown < made:
        return _run(arguments, folder)[0], "not counted: this kernel does not show refused connections", True
    before = refused_by_the_kernel() or 0
    code, hosts = _run(arguments, folder)
    left = (refused_by_the_kernel() or 0) - before
    words = (
        f"connection attempts in all processes: {left} seen by the kernel, {len(hosts)} refused before it in Python "
        f"(trial before the run: {made} made, {shown} seen)"
    )
    return code, words, not left and not hosts


def _run(arguments: list[str], folder: Path) -> tuple[int, list[str]]:
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    log = folder / "attempts"
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OFFLINE_ATTEMPTS_LOG": str(log)}
    done = subprocess.run([sys.executable, *arguments], env=environment, check=False)
    return done.returncode, noted_by_python(log)


def inside(arguments: list[str]) -> int:
    bring_lo_up()
    print(f"network namespace with: {', '.join(interfaces())}", flush=True)
    keep = arguments[:1] == ["--record"]
    arguments = arguments[keep:]
    with tempfile.TemporaryDirectory() as folder:
        code, words, nothing = run_and_count(arguments, Path(folder))
    print(words)
    if keep:
        ended = f"`python {' '.join(arguments)}` ended with {code}"
        record("offline", "Without a network", f"{ended}; {words}.", conditions="interfaces: lo")
    return code or int(not nothing)


def main(arguments: list[str]) -> int:
    if arguments[:1] == [INSIDE]:
        return inside(arguments[1:])
    prefix = unshare_command()
    if prefix is None:
        print("not run: this system refuses a network namespace (unshare)")
        return 0
    return subprocess.run([*prefix, sys.executable, __file__, INSIDE, *arguments], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
