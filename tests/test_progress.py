"""Progress: a bar on a real terminal, plain lines without one, and stdout left alone."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from edgetune import progress

CODE = """
import time
from edgetune import progress
progress.LINE_EVERY_SECONDS = 0.05
console = progress.Console()
tick = console.tick("train")
for step in range(1, 31):
    time.sleep(0.01)
    tick(step, 30, "loss 0.5")
console.say("done")
"""


def test_without_a_terminal_lines_with_rate_and_time_left():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1] == "done" and 2 <= len(lines) <= 12
    assert "train: " in lines[0] and "/30 (" in lines[0] and "s left) loss 0.5" in lines[0]
    assert "\r" not in done.stderr


def test_on_a_terminal_a_bar_with_rate_and_time_left():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", CODE], stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    text = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        text += chunk
    assert process.wait() == 0 and process.stdout.read() == b""
    assert b"\r" in text and b"train" in text and b"/30" in text and b"it/s" in text and b"done" in text


def test_a_count_without_an_end_and_slow_ones_read_well(capsys, monkeypatch):
    now = iter([0.0, 20.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    tick = progress.Console().tick("calibrate")
    tick(1, 0, "batches")
    tick(2, 400, "layers")
    assert capsys.readouterr().err.splitlines() == [
        "  calibrate: 1 (20.0 s each) batches",
        "  calibrate: 2/400 (20.0 s each, about 7960 s left) layers",
    ]
