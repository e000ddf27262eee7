"""As much of the Hugging Face hub's HTTP interface as an upload asks for, on a free port of this machine."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

LICENCES = ("apache-2.0", "mit", "other", "unknown")  # some of the hub's


class Hub(ThreadingHTTPServer):
    """``private`` {repository: bool}, ``files`` {repository: {name: bytes}}, and the requests that were ``asked``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.private, self.files, self.asked, self.ignores_private = {}, {}, [], False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Asked(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, content, **headers):
        body = json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        hub, name = self.server, self.path.removeprefix("/api/models/").partition("/revision/")[0]
        hub.asked.append(self.path)
        if name not in hub.private:  # .gitignore, too, is looked for
            code = "RepoNotFound" if self.path.startswith("/api/models/") else "EntryNotFound"
            self.answer(404, {"error": "not found"}, X_Error_Code=code)
        else:
            self.answer(200, {"id": name, "private": hub.private[name], "sha": "0" * 40})

    do_HEAD = do_GET

    def do_POST(self):
        hub, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        hub.asked.append(self.path)
        if "Bearer hf_" not in self.headers.get("Authorization", ""):
            self.answer(401, {"error": "no token"})
        elif self.path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            if name in hub.private:
                self.answer(409, {"error": "exists"})
                return
            hub.private[name] = bool(told.get("private")) and not hub.ignores_private
            self.answer(200, {"url": f"{hub.url}/{name}"})
        elif self.path == "/api/validate-yaml":
            metadata = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            wrong = metadata.get("license") not in LICENCES
            errors = [{"message": f"license must be one of {LICENCES}"}] if wrong else []
            self.answer(400 if wrong else 200, {"errors": errors, "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            told = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            self.answer(200, {"files": told})
        else:
            name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            lines = [json.loads(line) for line in body.splitlines()]
            files = {one["value"]["path"]: one["value"]["content"] for one in lines if one["key"] == "file"}
            kept = {path: base64.b64decode(content) for path, content in files.items()}
            hub.files[name] = {**hub.files.get(name, {}), **kept}
            self.answer(200, {"commitUrl": f"{hub.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40})


@contextmanager
def small_hub():
    """A hub without repositories; it ends with the block."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
