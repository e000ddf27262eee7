"""What the desk starts on a device over SSH: takes files, runs one job, and leaves nothing running.

The desk sends this file's text to ``python3`` and speaks with it over standard input and output, so nothing but Python
need be there. Its syntax keeps to Python 3.6, to be able to say that a Python is too old.

    desk    {"cache": null, "tree": {name: digest}, "sizes": {digest: bytes}, "path": digest, "module": ...,
             "job": {...}, "limit_seconds": 600}
    device  {"missing": [digest, ...]}
    desk    the missing files' bytes, one after the other; then a line every few seconds for as long as it waits
    device  {"stored": digest} for each, what the job prints, {"exit": code};
            or {"error": text, "kind": kind} at any time

Lines of the device's begin with ``MARK``: whatever a login script prints is not taken for an answer. Files are kept
under their sha256 and never sent twice; they appear by a rename, so two users or a dropped connection cannot leave
half a file. The job runs in a session of its own, in a folder that is removed afterwards, and is killed with all it
started when its time is over, when the desk closes the connection, or when the desk has said nothing for a minute.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

MARK = "\x1eedgetune "
PYTHON = (3, 9)
SILENCE_SECONDS = 60  # after so long without a word from the desk, it is taken for gone
KEEP_SECONDS = 30 * 86400  # files that were not used for so long are removed; by the device's own clock
SPARE_BYTES = 16 << 20
CHUNK = 1 << 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Refused(Exception):
    """What the desk is told: a kind and a text."""

    def __init__(self, kind, text):
        Exception.__init__(self, text)
        self.kind = kind


def say(message):
    sys.stdout.write(MARK + json.dumps(message) + "\n")
    sys.stdout.flush()


def main(desk):
    """Serve one job; ``desk`` is the binary standard input. Returns the exit status."""
    try:
        if sys.version_info[:2] < PYTHON:
            raise Refused(
                "python", "Python is %s, it must be %s.%s or newer" % (sys.version.split()[0], PYTHON[0], PYTHON[1])
            )
        order = json.loads(desk.readline().decode())
        root = order["cache"] or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "edgetune-device"
        )
        objects, jobs = os.path.join(root, "objects"), os.path.join(root, "jobs")
        for folder in (objects, jobs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        receive(desk, objects, order["sizes"])
        folder = tempfile.mkdtemp(dir=jobs)
        try:
            lay_out(folder, objects, order["tree"])
            say({"exit": run(desk, folder, objects, order)})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except Refused as problem:
        say({"error": str(problem), "kind": problem.kind})
        return 1
    except OSError as problem:
        kind = "space" if problem.errno in NO_SPACE else "files"
        say({"error": "%s: %s" % (problem.filename or "the disk", os.strerror(problem.errno or 0)), "kind": kind})
        return 1
    return 0


def receive(desk, objects, sizes):
    """Take the files that are not here yet."""
    remove_unused(objects, sizes, time.time() - KEEP_SECONDS)
    missing = [digest for digest in sorted(sizes) if not present(objects, digest, sizes[digest])]
    needed = sum(sizes[digest] for digest in missing)
    if needed and free_bytes(objects) < needed + SPARE_BYTES:
        remove_unused(objects, sizes, float("inf"))
    if needed and free_bytes(objects) < needed + SPARE_BYTES:
        free = max(free_bytes(objects), 0)
        raise Refused("space", "%s has %.1f MB left, %.1f MB are needed" % (objects, free / 1e6, needed / 1e6))
    say({"missing": missing})
    for digest in missing:
        store(desk, objects, digest, sizes[digest])
        say({"stored": digest})


def present(objects, digest, size):
    """Whether a file is here and whole; a damaged one is removed. Using it makes it young."""
    path = os.path.join(objects, digest)
    try:
        if os.path.getsize(path) == size and sha256(path) == digest:
            os.utime(path, None)
            return True
        os.unlink(path)
    except OSError:
        pass
    return False


def store(desk, objects, digest, size):
    found, left = hashlib.sha256(), size
    handle, partial = tempfile.mkstemp(dir=objects, prefix="partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            while left:
                chunk = desk.read(min(left, CHUNK))
                if not chunk:
                    raise Refused("dropped", "the connection ended in the middle of a file")
                found.update(chunk)
                file.write(chunk)
                left -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if found.hexdigest() != digest:
            raise Refused("damaged", "a file changed on its way")
        os.replace(partial, os.path.join(objects, digest))
    except BaseException:
        os.unlink(partial)
        raise


def remove_unused(objects, wanted, before):
    """Remove files nobody used since ``before``, but none that is wanted now or being written."""
    for name in os.listdir(objects):
        path = os.path.join(objects, name)
        try:
            limit = min(before, time.time() - 86400) if name.startswith("partial-") else before
            if name not in wanted and os.path.getmtime(path) < limit:
                os.unlink(path)
        except OSError:
            pass  # another user's session was faster


def free_bytes(folder):
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def sha256(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            found.update(chunk)
    return found.hexdigest()


def lay_out(folder, objects, tree):
    """The job's files under the names it knows them by, as hard links: no copy, and no link that leaves the folder."""
    for name, digest in tree.items():
        path = os.path.join(folder, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.link(os.path.join(objects, digest), path)
        except OSError:  # a file system without hard links
            shutil.copyfile(os.path.join(objects, digest), path)


def run(desk, folder, objects, order):
    """Run the job to its end, or end it; returns its exit status."""
    order_file = os.path.join(folder, "job.json")
    with open(order_file, "w") as file:
        json.dump(order["job"], file)
    environment = dict(
        os.environ,
        PYTHONPATH=os.path.join(objects, order["path"]),
        PYTHONDONTWRITEBYTECODE="1",
        ORT_DISABLE_TELEMETRY="1",
        TMPDIR=folder,
    )
    limit = order["limit_seconds"]
    process = subprocess.Popen(
        [sys.executable, "-m", order["module"], order_file],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: last_resort(limit + 60),
    )
    ended = threading.Event()
    reason = []
    heard = [time.monotonic()]

    def listen():
        while desk.readline():
            heard[0] = time.monotonic()
        reason.append("gone")
        ended.set()

    def wait():
        process.wait()
        ended.set()

    for target in (listen, wait):
        threading.Thread(target=target, daemon=True).start()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    deadline = time.monotonic() + limit
    while not ended.wait(max(0.05, min(deadline, heard[0] + SILENCE_SECONDS) - time.monotonic())):
        now = time.monotonic()
        if now >= deadline:
            reason.append("limit")
            break
        if now >= heard[0] + SILENCE_SECONDS:
            break
    try:
        os.killpg(process.pid, signal.SIGKILL)  # all it started; nothing happens where all has ended
    except OSError:
        pass
    process.wait()
    if "limit" in reason:
        raise Refused("limit", "the job did not end within %g s and was ended" % limit)
    return process.returncode


def last_resort(seconds):
    """In the job's process: a session of its own, and an end to it even if this program is killed."""
    os.setsid()
    signal.alarm(int(seconds))  # it outlives exec
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: Linux
    except (AttributeError, OSError):
        pass
