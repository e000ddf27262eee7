"""What differs between the releases of TensorRT: one table, and the families that take one ONNX file."""

from dataclasses import dataclass

from edgetune.errors import InputError
from edgetune.toml import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of TensorRT, such as 10.3."""

    name: str
    newest_opset: int
    oldest_opset: int

    @property
    def family(self) -> int:
        """Its first number. An engine never leaves its release, an ONNX file serves a family."""
        return int(self.name.partition(".")[0])

    @property
    def strongly_typed(self) -> bool:
        """Whether edgetune builds for it with the types of the ONNX file (``export.half``): 11 knows nothing else."""
        return self.family >= 10


# Opsets from docs/operators.md of the parser (github.com/onnx/onnx-tensorrt): 8.5 and 8.6 "up to Opset 17", 10.15 and
# 11.2 "opset 9 to opset 24"; what lies between two entries takes the older one's limit.
RELEASES = {
    release.name: release
    for release in (
        *(Release(name=name, newest_opset=17, oldest_opset=1) for name in ("8.5", "8.6")),
        *(Release(name=f"10.{minor}", newest_opset=20, oldest_opset=9) for minor in range(15)),
        *(Release(name=f"10.{minor}", newest_opset=24, oldest_opset=9) for minor in (15, 16)),
        *(Release(name=f"11.{minor}", newest_opset=24, oldest_opset=9) for minor in range(5)),
    )
}


# DLA: TensorRT 10.7 was the last of 10.x with it; 11.4 has it again, on Jetson AGX Orin under JetPack 7.2.2 or later
# (docs.nvidia.com/deeplearning/tensorrt/11.4.1/inference-library/work-with-dla.html).
WITH_DLA = {"8.5", "8.6", *(f"10.{minor}" for minor in range(8)), "11.4"}


def installed_release(version: str) -> Release:
    """The rules that go for a device's TensorRT, such as 10.7.0: its own, or those of the newest known before it.

    Raises:
        InputError: of a family that is not known.
    """
    family, minor = (int(part) if part.isdecimal() else -1 for part in [*version.split("."), "0"][:2])
    known = [release for release in RELEASES.values() if release.family == family]
    before = [release for release in known if int(release.name.split(".")[1]) <= minor]
    if not before:
        raise InputError(
            f"TensorRT {version} is not known here",
            hint="known are 8.5, 8.6, 10.x and 11.x; a Jetson gets another one with another JetPack",
        )
    return before[-1]


def find_release(version: str) -> Release:
    """``tensorrt-10.3``, ``10.3`` or ``10.3.0`` -> the release.

    Raises:
        InputError: not a release whose rules are known, with the nearest one.
    """
    plain = version.removeprefix("tensorrt-")
    found = RELEASES.get(".".join(plain.split(".")[:2]))
    if found is None or not all(part.isdecimal() for part in plain.split(".")):
        known = [f"tensorrt-{name}" for name in RELEASES]
        raise InputError(f'the rules of "{version}" are not known', hint=nearest(f"tensorrt-{plain}", known, "version"))
    return found
