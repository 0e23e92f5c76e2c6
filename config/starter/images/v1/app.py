"""A small web application to begin with: / says which instance answers, /health says that it can.

Run: python app.py --port 8000. Asked to stop (SIGTERM), it ends what it has begun and takes nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("ROLLOUT_INSTANCE", "an instance without a name")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a connection may be silent

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, "application/json", json.dumps({"status": "ok"}))
        elif self.path == "/":
            self.answer(200, "text/plain; charset=utf-8", f"Hello from {NAME}.\n")
        else:
            self.answer(404, "text/plain; charset=utf-8", "There is only / and /health.\n")

    do_HEAD = do_GET

    def answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Quiet: the balancer asks /health all the time."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for what is being answered
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description="a small web application")
    parser.add_argument("--port", type=int, required=True)
    server = Server(("127.0.0.1", parser.parse_args().port), Handler)
    # shutdown() waits for the loop that runs in this thread, so that another thread has to ask for it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stderr.write(f"serving on port {server.server_port}\n")
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
