"""A device over SSH, through the system's OpenSSH client: its configuration, keys, agent and jump hosts count.

Nothing is installed there. ``edgetune_runtime.supervisor`` is sent to the device's python3 each time; it keeps the
files it is given under their digests, runs ``edgetune_runtime.agent`` from a zip of the runtime, and ends
it when the time is over or the connection is.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

import edgetune_runtime

from edgetune.devices.answers import followed
from edgetune.devices.protocol import Device, Part, ignore
from edgetune.errors import BackendError, DeviceError, EdgetuneError, InputError
from edgetune.hashing import digest_file
from edgetune.progress import Tick, silent

CONFIG = "EDGETUNE_SSH_CONFIG"  # another file than ~/.ssh/config
OPTIONS = (
    "BatchMode=yes",  # never ask: nobody may be there to answer
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ControlMaster=auto",
    "ControlPersist=60",
)
# Reads the program's length and the program from standard input: these words mean the same in every shell.
BOOT = '"import sys;d=sys.stdin.buffer;exec(d.read(int(d.readline())))"'
BEAT_SECONDS = 10.0
CHUNK = 1 << 20
HOST = re.compile(r"[\w.:\[\]%-]+", re.ASCII)
USER = re.compile(r"[\w.@+-]+", re.ASCII)
PYTHON = re.compile(r"~?[\w./+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """``ssh://[user@]host[:port][?python=PATH]``; host may be a name of ssh_config's."""

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"

    @property
    def shown(self) -> str:
        """As ``ssh`` takes it on its command line, for hints."""
        port = f"-p {self.port} " if self.port else ""
        return f"{port}{self.user}@{self.host}" if self.user else f"{port}{self.host}"


def parse_address(text: str) -> Address:
    """The parts of an ``ssh://`` address.

    Raises:
        InputError: another form.
    """
    form = "write ssh://[user@]host[:port], for example ssh://pi@raspberrypi.local"
    try:
        parts = urlsplit(text)
        user, host, port = parts.username, parts.hostname, parts.port
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as problem:
        raise InputError(f'--device "{text}": {problem}', hint=form) from problem
    if parts.scheme != "ssh" or not host or parts.path not in ("", "/") or parts.password is not None:
        raise InputError(f'--device "{text}" is no address of a device', hint=form)
    host = parts.netloc.rpartition("@")[2].removesuffix(f":{port}") if port else parts.netloc.rpartition("@")[2]
    host = host.strip("[]")  # urlsplit's own is in lower case, ssh_config's names need not be
    python = query.pop("python", ["python3"])[-1]
    user = unquote(user) if user else None
    if query:
        raise InputError(f'--device "{text}": "{next(iter(query))}" is not known', hint="?python=PATH is")
    # A leading dash would be an option of ssh's.
    fine = HOST.fullmatch(host) and host[0] != "-" and (user is None or (USER.fullmatch(user) and user[0] != "-"))
    if not fine or not PYTHON.fullmatch(python) or python[0] == "-":
        raise InputError(f'--device "{text}" holds characters that no address has', hint=form)
    return Address(host=host, user=user, port=port, python=python)


@contextmanager
def connect(text: str) -> Iterator[SshDevice]:
    """The device at an ``ssh://`` address; nothing is sent before the first job.

    Raises:
        InputError: no address. DeviceError: this machine has no ssh.
    """
    address = parse_address(text)
    if shutil.which("ssh") is None:
        raise DeviceError("there is no ssh on this machine", hint="install OpenSSH's client (openssh-client)")
    device = SshDevice(address=address)
    try:
        yield device
    finally:
        device.close()


@dataclass(slots=True, kw_only=True)
class SshDevice(Device):
    """See ``protocol.Device``. Jobs share one connection, which ssh's control socket keeps open between them."""

    address: Address
    cache: str | None = None  # where the device keeps files; None: ~/.cache/edgetune-device
    sent_bytes: int = 0
    _about: dict[str, Any] | None = None
    _sockets: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="edgetune-ssh-", ignore_cleanup_errors=True)
    )

    @property
    def name(self) -> str:
        """The host's name."""
        return self.address.host

    def about(self) -> Mapping[str, Any]:
        """See ``protocol.Device.about``."""
        if self._about is None:
            found = self.look()
            needed = ("numpy",) if found.get("tensorrt") else ("numpy", "onnxruntime")  # JetPack has no ONNX Runtime
            lacking = [library for library in needed if found["versions"][library] == "missing"]
            if lacking:
                text = f"{self.address.python} has no {' and no '.join(lacking)}"
                raise DeviceError(f"{self.name}: {text}", hint=HINTS["library"])
            self._about = found
        return self._about

    def do(
        self,
        job: Mapping[str, Any],
        files: Mapping[str, Path],
        *,
        limit_seconds: float,
        progress: Tick = silent,
        part: Part = ignore,
    ) -> dict[str, Any]:
        """See ``protocol.Device.do``."""
        runtime = runtime_zip()
        sources = {digest_file(path): path for path in (*files.values(), runtime)}
        order = {
            "cache": self.cache,
            "tree": {name: digest_file(path) for name, path in files.items()},
            "sizes": {digest: path.stat().st_size for digest, path in sources.items()},
            "path": digest_file(runtime),
            "module": "edgetune_runtime.agent",
            "job": dict(job),
            "limit_seconds": limit_seconds,
        }
        with self._session() as session:
            return session.serve(order, sources, progress, part)

    def close(self) -> None:
        """End the shared connection."""
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([*self._ssh(), "-O", "exit", self.address.host], capture_output=True, timeout=10)
        self._sockets.cleanup()

    def _ssh(self) -> list[str]:
        command = ["ssh", "-T"]
        if config := os.environ.get(CONFIG):
            command += ["-F", config]
        for option in (*OPTIONS, f"ControlPath={self._sockets.name}/s"):
            command += ["-o", option]
        if self.address.port:
            command += ["-p", str(self.address.port)]
        if self.address.user:
            command += ["-l", self.address.user]
        return command

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        command = [*self._ssh(), "--", self.address.host, f"{self.address.python} -c {BOOT}"]
        # Standard error goes to a file: the shared connection outlives this process and would keep a pipe open.
        with tempfile.TemporaryFile(prefix="edgetune-ssh-") as words:
            # A session of its own: Ctrl-C reaches edgetune, which then ends what runs on the device.
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, start_new_session=True
            )
            try:
                yield _Session(device=self, process=process, words=words)
            except BaseException:
                process.terminate()  # the device sees the connection end, and ends the job
                raise
            finally:
                _close(process)


@dataclass(slots=True, kw_only=True)
class _Session:
    """One job's conversation."""

    device: SshDevice
    process: subprocess.Popen[bytes]
    words: IO[bytes]  # what ssh and the device wrote to standard error
    ended: threading.Event = field(default_factory=threading.Event)
    missing: set[str] | None = None  # what has still to arrive; None: not known yet

    def serve(
        self, order: Mapping[str, Any], sources: Mapping[str, Path], progress: Tick, part: Part
    ) -> dict[str, Any]:
        """Send the order and what is missing, then take answers until the job has ended."""
        assert self.process.stdout is not None
        program = Path(edgetune_runtime.__file__).with_name("supervisor.py").read_bytes() + b"\nsys.exit(main(d))\n"
        greeting = b"%d\n%s%s\n" % (len(program), program, json.dumps(order).encode())
        _start(lambda: self._write(io.BytesIO(greeting)))
        result: dict[str, Any] | None = None
        try:
            for answer in followed(self.process.stdout, progress, part):
                if "missing" in answer:
                    files = [sources[digest] for digest in answer["missing"]]
                    self.missing = set(answer["missing"])
                    _start(partial(self._upload, files))
                elif "stored" in answer and self.missing:
                    self.missing.discard(answer["stored"])
                elif "result" in answer:
                    result = answer["result"]
                elif "error" in answer:
                    raise self._refused(answer)
                elif "exit" in answer:
                    if result is None:
                        raise self._died(int(answer["exit"]))
                    return result
        finally:
            self.ended.set()
        self.process.wait()
        raise self._dropped()

    def _write(self, source: IO[bytes]) -> None:
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):  # whoever reads the answers learns why
            while chunk := source.read(CHUNK):
                self.process.stdin.write(chunk)
                self.process.stdin.flush()
                self.device.sent_bytes += len(chunk)

    def _upload(self, files: list[Path]) -> None:
        for path in files:
            with path.open("rb") as file:
                self._write(file)
        while not self.ended.wait(BEAT_SECONDS):  # a line now and then: we are still here
            self._write(io.BytesIO(b"\n"))

    # --- what went wrong --------------------------------------------------------------------

    def _refused(self, answer: Mapping[str, Any]) -> EdgetuneError:
        """What the device itself tells."""
        name, text, kind = self.device.name, answer["error"], str(answer.get("kind"))
        if kind == "engine":
            return BackendError(
                f"on {name}: {text}", hint="the device's ONNX Runtime refuses it, or computes it otherwise"
            )
        hint = HINTS.get(kind, "run the same command again").format(ssh=self.device.address.shown)
        return DeviceError(f"{name}: {text}", hint=hint)

    def _died(self, status: int) -> DeviceError:
        why = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        hint = "the device may have run out of memory (dmesg there tells)" if status == -9 else self._last() or None
        return DeviceError(f"{self.device.name}: the process there {why}", hint=hint)

    def _dropped(self) -> DeviceError:
        """The connection ended without an answer; ssh's own words tell why."""
        address, text = self.device.address, self._said()
        for pattern, problem, hint in SSH_PROBLEMS:
            if re.search(pattern, text):
                at = f"[{address.host}]:{address.port}" if address.port else address.host
                return DeviceError(f"{address.host}: {problem}", hint=hint.format(ssh=address.shown, host=at))
        if self.process.returncode == 127:
            return DeviceError(
                f"{address.host} has no {address.python}",
                hint="install Python there, or say where it is: --device 'ssh://...?python=/opt/python/bin/python3'",
            )
        when = "before the job began" if self.missing is None else "while the job ran"
        if self.missing:
            when = "while files were sent"
        return DeviceError(
            f"{address.host}: the connection ended {when}: {self._last() or 'ssh says nothing more'}",
            hint="nothing is left running there; run the same command again (files that arrived are not sent again)",
        )

    def _said(self) -> str:
        self.words.seek(0)
        return self.words.read(1 << 16).decode(errors="replace")

    def _last(self) -> str:
        return next((line for line in reversed(self._said().splitlines()) if line.strip()), "").strip()


def _start(what: Callable[[], None]) -> None:
    threading.Thread(target=what, daemon=True).start()


def _close(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        assert process.stdin is not None
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


# What a device tells of itself -> what to do.
HINTS = {
    "space": "free some there; what edgetune left goes with: ssh {ssh} rm -r .cache/edgetune-device",
    "library": "on the device: python3 -m venv ~/edgetune && ~/edgetune/bin/pip install onnxruntime; then "
    "--device 'ssh://...?python=~/edgetune/bin/python'",
    "python": "install a newer Python there, and name it: --device 'ssh://...?python=/usr/bin/python3.11'",
    "limit": "it may be slow or stuck; look at it: ssh {ssh}",
    "files": "~/.cache/edgetune-device must be writable there",
}
# Words of OpenSSH's client -> what is wrong -> what to do.
SSH_PROBLEMS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known",
        "another machine answers, or it was set up anew. If it was: ssh-keygen -R '{host}', then: ssh {ssh}",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "its host key is not known here",
        "connect once by hand and compare the fingerprint it shows with the device's: ssh {ssh}",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it refuses the key",
        "put your public key there: ssh-copy-id {ssh}; or load the right one: ssh-add FILE",
    ),
    (r"Could not resolve hostname", "there is no such host", "check the name, or give its address as a number"),
    (
        r"Connection refused|Connection timed out|No route to host|Network is unreachable|Operation timed out|"
        r"banner exchange",
        "it cannot be reached",
        "is it on, in this network, and does its SSH server run? Try: ssh {ssh}",
    ),
    (r"Bad configuration option|no argument after keyword", "ssh cannot read its configuration", "try: ssh {ssh}"),
)


@cache
def runtime_zip() -> Path:
    """The runtime package as a zip that Python imports from: the same bytes each time, so it is sent once."""
    package = Path(edgetune_runtime.__file__).parent
    path = Path(tempfile.mkdtemp(prefix="edgetune-runtime-")) / "runtime.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"edgetune_runtime/{file.name}"), file.read_bytes())
    return path
