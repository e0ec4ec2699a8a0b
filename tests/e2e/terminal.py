"""Runs `saggar top` on a terminal of 80 by 24, ends it, and says whether the terminal is as it was.

    terminal.py BINARY HOW      HOW is `q`, `ctrl-c` or `term`
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

PATIENCE = 60

binary, how = sys.argv[1:]
master, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(terminal)
top = subprocess.Popen(
    [binary, "top", "--interval", "200ms"],
    stdin=terminal,
    stdout=terminal,
    stderr=terminal,
    start_new_session=True,
    env={**os.environ, "TERM": "xterm-256color"},
)
heard = b""


def hear_until(text):
    global heard
    end = time.monotonic() + PATIENCE
    while text not in heard:
        ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
        if not ready:
            top.kill()
            sys.exit(f"not heard: {text!r} in {heard!r}")
        heard += os.read(master, 65536)


hear_until(b"sort: share")
during = termios.tcgetattr(terminal)
if how == "term":
    top.terminate()
else:
    os.write(master, b"s")
    hear_until(b"sort: rate")
    os.write(master, {"q": b"q", "ctrl-c": b"\x03"}[how])
hear_until(b"\x1b[?1049l")
code = top.wait(PATIENCE)
flags = 3
assert during[flags] != before[flags], "keys came one by one"
assert termios.tcgetattr(terminal) == before, "the terminal is as it was"
assert heard.index(b"\x1b[?1049h") < heard.index(b"HOST") and b"\x1b[?25h" in heard, heard
print(f"ended with {code}")
