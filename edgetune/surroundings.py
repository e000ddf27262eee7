"""What a build needs to know of the world before it plans: digests of its sources, and what runs here."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.backends import BACKENDS, tensorrt
from edgetune.backends.protocol import Backend
from edgetune.data.scan import exists, fingerprint, scan
from edgetune.data.texts import fingerprint_texts, is_text_data
from edgetune.devices import local
from edgetune.devices.here import ThisMachine
from edgetune.devices.identity import fingerprint as fingerprint_of
from edgetune.devices.identity import processor as processor_of
from edgetune.devices.protocol import Device
from edgetune.errors import DataError, InputError, RecipeError, WeightsError
from edgetune.hashing import digest_file, digest_json
from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.models.encoder_folder import check_encoder_folder
from edgetune.models.source import source_files
from edgetune.records import Facts, Recipe, Target
from edgetune.target import all_targets, same_arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Facts for the plan, and where the sources lie."""

    facts: Facts
    data: Path
    weights: Path | None
    keep: Path | None  # ``[finetune] keep``
    devices: Mapping[str, Device]  # by the source in the plan that stands for it
    targets: tuple[Target, ...]  # those asked for, fitted to the devices that serve them


def look_around(recipe: Recipe, targets: tuple[Target, ...], devices: Sequence[Device] = ()) -> Surroundings:
    """Find the sources of ``recipe`` and digest them; find out which of ``devices`` serves which target.

    Raises:
        DataError: the dataset is missing or makes no sense. WeightsError: there is no such file.
        DeviceError: a device cannot be looked at. InputError: a device serves none of the targets.
    """
    data_path = recipe.base / recipe.data.path
    if exists(data_path) and is_text_data(data_path) != recipe.reads_text:
        raise _other_kind(recipe)
    weights = recipe.base / recipe.model.weights if recipe.model.weights else None
    if weights is not None and not (weights.is_dir() if recipe.reads_text else weights.is_file()):
        what = "folder with pretrained weights" if recipe.reads_text else "weights file"
        raise WeightsError(f"there is no {what} {weights}", hint="`[model] weights` is relative to the recipe")
    if weights is not None and recipe.reads_text:
        check_encoder_folder(weights, weights=recipe.model.pretrained)
    code = source_files(recipe.model.name, recipe.base)
    sources = {
        "data": fingerprint_texts(data_path) if recipe.reads_text else fingerprint(scan(data_path)),
        "weights": _digest(weights) if weights else ("library" if recipe.model.pretrained else "random"),
        "code": digest_json([(path.name, digest_file(path)) for path in code]) if code else "library",
        "device": local.fingerprint(),
        "processor": local.processor(),
    }
    keep = recipe.base / recipe.finetune.keep if recipe.finetune.keep else None
    if keep is not None:
        sources["keep"] = _kept(keep)
    for target in targets:
        load_backend(target.backend).check_options(target)
    if devices and recipe.reads_text and any(target.backend == "tensorrt" for target in targets):
        raise InputError(
            "engines for text are not built with TensorRT by this version",
            hint="build for a target with another backend, or without --device: the files are prepared then",
        )
    there = {**assign(targets, devices)}
    there |= _tensorrt_here(recipe, [target for target in targets if target.name not in there])
    targets = tuple(_fitted(target, there.get(target.name)) for target in targets)
    for name, device in there.items():
        facts_of = _engine_facts(device, next(target for target in targets if target.name == name))
        sources[f"device:{name}"] = digest_json([fingerprint_of(device.about()["device"]), *facts_of])
        sources[f"processor:{name}"] = digest_json([processor_of(device.about()["device"]), *facts_of])
    facts = Facts(
        sources=sources,
        unavailable={
            target.name: None if target.name in there else _why_not(target, recipe.reads_text) for target in targets
        },
        untimed={
            name: f"{device.name} is emulated: its accuracy counts, its clock does not"
            for name, device in there.items()
            if device.about()["device"]["emulated"]
        },
    )
    by_source = {f"source:{kind}:{name}": device for name, device in there.items() for kind in ("device", "processor")}
    return Surroundings(facts=facts, data=data_path, weights=weights, keep=keep, devices=by_source, targets=targets)


def _kept(path: Path) -> str:
    """The digest of the data of ``[finetune] keep``; what is wrong with it names that key."""
    if not exists(path):
        raise DataError(
            f"there is no data at {path}, where `[finetune] keep` looks",
            hint="it is relative to the recipe; leave it out to train without",
        )
    try:
        return fingerprint(scan(path))
    except DataError as problem:
        raise DataError(f"the data of `[finetune] keep`: {problem.message}", hint=problem.hint) from problem


def _tensorrt_here(recipe: Recipe, targets: Sequence[Target]) -> dict[str, Device]:
    """This machine for each target whose TensorRT engines it builds and runs: a job of its own, as on a device."""
    found = [t.name for t in targets if t.backend == "tensorrt" and _why_not(t, recipe.reads_text) is None]
    return dict.fromkeys(found, ThisMachine())


def _why_not(target: Target, reads_text: bool) -> str | None:
    why = why_not_here(target)
    if why is None and reads_text and target.backend == "tensorrt":
        return "engines for text are not built with TensorRT by this version"
    return why


def _fitted(target: Target, device: Device | None) -> Target:
    """The target with the rules of the TensorRT that its device has."""
    if device is None or target.backend != "tensorrt":
        return target
    fitted = tensorrt.fit(target, str(device.about()["tensorrt"]["tensorrt"]))
    tensorrt.check_options(fitted)
    return fitted


def _engine_facts(device: Device, target: Target) -> list[Any]:
    """What besides the machine decides how its engines are; TensorRT chooses kernels by timing them as clocks are."""
    about = device.about()
    if target.backend != "tensorrt":
        return [about["versions"]]
    return [about["versions"], about["tensorrt"], about["telemetry"].get("power_mode")]


def assign(targets: tuple[Target, ...], devices: Sequence[Device]) -> dict[str, Device]:
    """{target: the first of ``devices`` that runs its engines}.

    Raises:
        InputError: a device runs none of them, or another takes all that it could; it says why.
    """
    found: dict[str, Device] = {}
    for target in targets:
        for device in devices:
            if target.name not in found and why_not_there(target, device) is None:
                found[target.name] = device
    for device in devices:
        if device not in found.values():
            reasons = [f"{target.name}: {why_not_there(target, device) or 'runs on another'}" for target in targets]
            fitting = [target.name for target in all_targets() if why_not_there(target, device) is None]
            raise InputError(
                f"{device.name} is of no use for {'this target' if len(targets) == 1 else 'these targets'}: "
                + "; ".join(reasons),
                hint=f"its engines are those of --target {' or '.join(fitting)}" if fitting else None,
            )
    return found


def why_not_there(target: Target, device: Device) -> str | None:
    """Why engines of ``target`` cannot be run and measured on ``device``; None: they can."""
    about = device.about()["device"]
    if not INFERENCE_LIBRARIES[target.backend].over_ssh:
        return f"{target.backend} engines are not run over SSH by this version; build on the device itself"
    if not same_arch(target, about["arch"]):
        return f"{about['arch']} does not run {target.arch} engines"
    if target.cpu_features and not set(about["cpu_features"]) & set(target.cpu_features):
        return f"its processor ({about['cpu']}) has none of {', '.join(target.cpu_features)}"
    if target.backend == "tensorrt":
        return tensorrt.why_not_on(target, device.about().get("tensorrt"))
    if device.about()["versions"]["onnxruntime"] == "missing":
        return "its Python has no onnxruntime"
    return None


def _digest(weights: Path) -> str:
    """Of a file, or of a folder's own files."""
    if weights.is_file():
        return digest_file(weights)
    files = sorted(path for path in weights.iterdir() if path.is_file() and path.name[0] != ".")
    return digest_json([(path.name, digest_file(path)) for path in files])


def _other_kind(recipe: Recipe) -> RecipeError:
    if recipe.reads_text:
        return RecipeError(
            f"{recipe.model.name} reads text, and {recipe.data.path} holds none",
            hint="texts come as CSV or JSON Lines with `text,label`, or a folder of train.csv, val.csv and test.csv",
        )
    return RecipeError(
        f"{recipe.data.path} holds texts, and {recipe.model.name} classifies pictures",
        hint='choose an encoder: `[model] name = "transformers/NAME"`',
    )


def load_backend(name: str) -> Backend:
    """The module of a backend."""
    backend: Backend = importlib.import_module(BACKENDS[name])
    return backend


def why_not_here(target: Target) -> str | None:
    """Why engines of ``target`` cannot be run and measured on this machine; None: they can."""
    if not same_arch(target):
        return f"this machine does not run {target.arch} engines"
    return load_backend(target.backend).unavailable_reason(target)
