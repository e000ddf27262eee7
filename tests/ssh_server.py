"""An SSH server in this process, which the system's ssh connects to; its commands run on this machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh

HOST = "board"


class Server:
    """One device: a home folder, a port, an ssh_config, and a connection that can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.drop_after_bytes: int | None = None  # sent by the desk
        self.forwarded: list[int] = []  # ports that others were reached at through this one
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.loop = asyncio.new_event_loop()
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self._key, self._host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        (folder / "id").write_bytes(self._key.export_private_key())
        (folder / "id").chmod(0o600)
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)
        key = self._host_key.export_public_key().decode().strip()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}\n")
        self.config.write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {self.port}\n  User tester\n  IdentityFile {folder / 'id'}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        self.address = f"ssh://{HOST}?python={sys.executable}"

    async def _listen(self) -> int:
        server = self

        class Accept(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                server.connections.append(conn)

            def connection_requested(self, host: str, port: int, orig_host: str, orig_port: int) -> bool:
                server.forwarded.append(port)
                return True  # as a jump host

            def begin_auth(self, username: str) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return key == server._key.convert_to_public()

        listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Accept,
            server_host_keys=[self._host_key],
            process_factory=self._serve,
            encoding=None,
        )
        return listener.get_port()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command or "",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=self.home,
        )
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        sources = [self._copy(child.stdout, process.stdout), self._copy(child.stderr, process.stderr)]
        feeding = asyncio.ensure_future(self._feed(process, child.stdin))
        await asyncio.gather(*sources)
        process.exit(await child.wait())
        feeding.cancel()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
        while data := await source.read(65536):
            try:
                sink.write(data)
                await sink.drain()
            except (OSError, asyncssh.Error):
                pass  # the connection is gone; the child must not notice through a full pipe

    async def _feed(self, process: asyncssh.SSHServerProcess[bytes], sink: asyncio.StreamWriter) -> None:
        received = 0
        try:
            while data := await process.stdin.read(65536):
                received += len(data)
                if self.drop_after_bytes is not None and received > self.drop_after_bytes:
                    self.drop()
                    break
                sink.write(data)
                await sink.drain()
        except (OSError, asyncssh.Error):
            pass
        finally:
            sink.close()

    def drop(self) -> None:
        """Break every connection, as a pulled cable does."""
        for connection in self.connections:
            self.loop.call_soon_threadsafe(connection.abort)
        self.connections.clear()

    def close(self) -> None:
        self.drop()
        asyncio.run_coroutine_threadsafe(self._wind_up(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def _wind_up(self) -> None:
        """Let what the dropped connections started come to an end: transports must close before the loop does."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        await asyncio.sleep(0.05)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()
