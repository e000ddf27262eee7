"""A real S3-compatible server (moto's) in a process of its own, on a free port of this machine."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

# what clients of it find in the environment; nobody's real keys are looked for
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
SCRIPT = """
import sys
from werkzeug.serving import make_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
server = make_server("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
server.serve_forever()
"""


@contextmanager
def s3_server(bucket):
    """{variable: value} of the environment in which ``s3://bucket`` is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-c", SCRIPT, str(port)]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **settings}
    )
    try:
        wait_for(port, server)
        import boto3

        client = boto3.client(
            "s3", endpoint_url=settings["AWS_ENDPOINT_URL_S3"], region_name="us-east-1",
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
        client.create_bucket(Bucket=bucket)
        yield settings
    finally:
        server.kill()
        server.wait()


def wait_for(port, server, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended"
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not listen")
