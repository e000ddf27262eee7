"""Start-up of the command line against a bare interpreter, interleaved.

    python benchmarks/startup.py

Claim: `edgetune --help` and `edgetune targets` import neither torch nor onnxruntime and take at most ten
times `python -c pass` (ratio of the medians of 20, run in turn). And on devices: importing the runtime adds under 60 ms
to what numpy and onnxruntime take by themselves (difference of the medians).
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import save

RUNS = 20
EDGETUNE = str(Path(sys.executable).with_name("edgetune"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "edgetune --help": [EDGETUNE, "--help"],
    "edgetune targets": [EDGETUNE, "targets"],
}
LIBRARY = "import numpy, onnxruntime"
RUNTIME = "from edgetune_runtime import DriftMonitor, Engine, Pipeline; import edgetune_runtime.session_onnxruntime"
COMMANDS["library"] = [sys.executable, "-c", LIBRARY]
COMMANDS["library and runtime"] = [sys.executable, "-c", f"{LIBRARY}; {RUNTIME}"]
IMPORTS = (
    "import sys; from click.testing import CliRunner; from edgetune.cli import cli\n"
    "for args in (['--help'], ['targets']): assert CliRunner().invoke(cli, args).exit_code == 0\n"
    "print(sorted({name.partition('.')[0] for name in sys.modules}))"
)


def main() -> None:
    """Measure, print, save."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(RUNS + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round fills the page cache
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: median / medians["python -c pass"] for name, median in medians.items()}
    loaded = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout
    heavy = [name for name in ("torch", "onnxruntime", "onnx", "scipy", "torchvision") if f"'{name}'" in loaded]
    for name, ratio in ratios.items():
        print(f"{name:20}{ratio:6.2f} x python -c pass")
    added = 1e3 * (medians["library and runtime"] - medians["library"])
    print(f"the runtime adds {added:.0f} ms to the library's import")
    print(f"heavy libraries loaded: {heavy or 'none'}")
    save(
        "startup",
        {
            "ratios": ratios,
            "runtime_import_added_ms": added,
            "seconds": times,
            "heavy_libraries_loaded": heavy,
            "cpus": os.cpu_count(),
        },
    )


if __name__ == "__main__":
    main()
