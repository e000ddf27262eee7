"""A signal that somebody else's code swallowed still stops a build."""

import subprocess
import sys

LOST = """
import signal, sys
from edgetune.cli.entry import main
from edgetune.stopping import listen
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
listen()
try:
    signal.raise_signal(getattr(signal, sys.argv.pop()))
    sys.exit("no signal came")
except KeyboardInterrupt:
    pass  # as an extension module may that clears errors
main()
"""


def test_a_signal_that_got_lost_before_the_first_step_stops_the_build_there(tmp_path, shapes):
    (tmp_path / "edgetune.toml").write_text(
        f'[model]\nname = "torchvision/resnet18"\npretrained = false\n[data]\npath = "{shapes}"\nimage_size = 32\n'
    )
    for name in ("SIGTERM", "SIGINT"):
        command = [sys.executable, "-c", LOST, "build", "--cache-dir", "store", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 130 and "run the same command to go on" in done.stderr
        assert "[1/" not in done.stderr and "Traceback" not in done.stderr
