"""The demo shop: one small web application that every demo image serves.

The images differ only in the packages they pin, so whatever differs between two images under the same
requests is the work of a patch. Run: `python app.py --port 8000 [--max-form-memory BYTES]`.

It is written for the oldest pinned framework, and imports nothing of the rollout manager.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from typing import Any

import idna
import requests
from flask import Flask, jsonify, render_template_string, request
from waitress import create_server

ITEMS = ({"sku": "tea", "price": 4}, {"sku": "cup", "price": 9}, {"sku": "pot", "price": 25})
PAGE = """<!doctype html><title>Shop</title>
<ul>{% for item in items %}<li>{{ item.sku }}: {{ item.price }}</li>{% endfor %}</ul>
"""
THREADS = 4
FINISH_S = 2.0


def create_app(max_form_memory: int | None = None) -> Flask:
    """Build the shop; `max_form_memory` is the limit of one text field, where the framework has one."""
    app = Flask(__name__)
    if max_form_memory is not None:
        app.config["MAX_FORM_MEMORY_SIZE"] = max_form_memory
    numbers = itertools.count(1)

    @app.get("/")
    def front():
        return jsonify(service="shop", flask=version("flask"), werkzeug=version("werkzeug"), pid=os.getpid())

    @app.get("/health")
    def health():
        return jsonify(status="ok")

    @app.get("/items")
    def items():
        return jsonify(items=ITEMS)

    @app.get("/page")
    def page():
        return render_template_string(PAGE, items=ITEMS)

    @app.post("/orders")
    def orders():
        body = request.get_json(silent=True)
        if not isinstance(body, dict) or body.get("sku") not in {item["sku"] for item in ITEMS}:
            return jsonify(error="sku must be one of the items' names"), 400
        return jsonify(order=next(numbers), track=tracking_link(str(body.get("host", "shop.example")))), 201

    @app.post("/import")
    def bulk_import():
        return jsonify(rows=len(request.form.get("rows", "").splitlines()))

    return app


def tracking_link(host: str) -> str:
    """Return the link that a customer follows; a host name that cannot be encoded becomes the shop's own."""
    try:
        name = idna.encode(host).decode()
    except idna.IDNAError:
        name = "shop.example"
    return str(requests.Request("GET", f"https://{name}/track", params={"from": "order"}).prepare().url)


def finish(server: Any) -> None:
    """Accept nothing more; end once nothing is being received, answered or sent, at most `FINISH_S` later."""
    server.accepting = False
    deadline = time.monotonic() + FINISH_S
    while time.monotonic() < deadline and any(
        channel.request or channel.requests or channel.total_outbufs_len
        for channel in list(server.active_channels.values())
    ):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Serve on the loopback address until SIGTERM; requests being answered are finished first."""
    parser = argparse.ArgumentParser(description="the demo shop")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-form-memory", type=int, metavar="BYTES")
    options = parser.parse_args()
    server = create_server(
        create_app(options.max_form_memory), host="127.0.0.1", port=options.port, threads=THREADS, ident=None
    )
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    finisher = threading.Thread(target=finish, args=[server], daemon=True)
    signal.signal(signal.SIGTERM, lambda *_: None if finisher.ident else finisher.start())
    sys.stderr.write(f"serving on 127.0.0.1:{options.port}\n")
    server.run()


if __name__ == "__main__":
    main()
