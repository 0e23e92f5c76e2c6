"""haproxy.cfg of one service: what HAProxy reads when it starts. Pure.

Runs in the balancer's folder, so all paths in it are short. Every request is sent once, on a connection of its own to
the target: a kept one that the target closes at that moment would lose a request, and asking again could place an
order twice. Only a connection that never came about is tried elsewhere.
"""

from __future__ import annotations

from providers.local.balancer.client import SOCKET
from providers.local.balancer.config import Config
from providers.local.balancer.state import SLOTS, State
from providers.local.haproxy.weights import KEY, MAP

TRAFFIC, TEST = "traffic", "test"
HEADER, SERVED_BY = "X-Rollout-Slot", "X-Rollout-Served-By"
KEEP_ALIVE_S, TUNNEL_S, REQUEST_S, LAST_S = 75.0, 3600.0, 60.0, 60.0
BUFFER, MOST, SPARE = 65536, 20_000, 200


def render(config: Config, state: State, nofile: int) -> str:
    """The whole file. nofile: how many open files the process may have at most."""
    parts = [_global(nofile), _defaults(config), _traffic(config)]
    parts += [] if config.test_listen is None else [_test(config)]
    for slot in SLOTS:
        parts += [_backend(config, state, slot, tested=False), _backend(config, state, slot, tested=True)]
    return "\n".join("\n    ".join(part) + "\n" for part in parts)


def backend_of(slot: str, *, tested: bool = False) -> str:
    return f"{TEST}_{slot}" if tested else slot


def name_of(address: str) -> str:
    """A server's name: its address, with the brackets of IPv6 left out, which HAProxy's names may not hold."""
    return address.replace("[", "").replace("]", "")


def server_words(config: Config, *, tested: bool = False) -> str:
    """How a server is watched; the same for those in the file and those that are added later."""
    if tested:
        return ""  # a check asks every target that is attached, well or not
    health = config.health
    watched = f"check inter {_ms(health.interval_s)} fall {health.fall} rise {health.rise}"
    # One refused connection takes it out until it passes its checks again.
    return f" {watched} observe layer4 error-limit 1 on-error mark-down"


def quoted(text: str) -> str:
    """One word for HAProxy, whatever is in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _global(nofile: int) -> list[str]:
    return [
        "global",
        f"stats socket unix@{SOCKET} mode 600 level admin",
        "stats timeout 10s",
        f"hard-stop-after {_ms(LAST_S)}",
        f"maxconn {max(min(MOST, (nofile - SPARE) // 2), 50)}",
        f"tune.bufsize {BUFFER}",
    ]


def _defaults(config: Config) -> list[str]:
    return [
        "defaults",
        "mode http",
        "option http-server-close",
        "option idle-close-on-response",
        "option forwardfor",
        "option redispatch 1",
        "retries 3",
        f"timeout connect {_ms(config.connect_timeout_s)}",
        f"timeout client {_ms(KEEP_ALIVE_S)}",
        f"timeout http-keep-alive {_ms(KEEP_ALIVE_S)}",
        f"timeout http-request {_ms(REQUEST_S)}",
        f"timeout server {_ms(config.response_timeout_s)}",
        f"timeout check {_ms(config.health.timeout_s)}",
        f"timeout tunnel {_ms(TUNNEL_S)}",
    ]


def _traffic(config: Config) -> list[str]:
    return [
        f"frontend {TRAFFIC}",
        f"bind {config.listen}",
        f"http-request del-header {HEADER}",
        *_forwarded(config),
        f"http-request set-var(txn.green) str({KEY}),map_str({MAP},'0'),field(1,:)",
        "http-request set-var(txn.r) rand(100)",
        "acl go_green var(txn.r),sub(txn.green) lt 0",
        *(f"acl {slot}_up nbsrv({backend_of(slot)}) gt 0" for slot in SLOTS),
        # The other side serves when the chosen one cannot.
        "use_backend green if go_green green_up",
        "use_backend green if go_green !blue_up",
        "use_backend green if green_up !blue_up",
        "default_backend blue",
    ]


def _test(config: Config) -> list[str]:
    said = f"balancer: this is the test route: send the header {HEADER}: blue or green\\n"
    return [
        f"frontend {TEST}",
        f"bind {config.test_listen}",
        f"http-request set-var(txn.slot) req.hdr({HEADER}),lower",
        f'http-request return status 400 content-type text/plain string "{said}" '
        f"unless {{ var(txn.slot) -m str {' '.join(SLOTS)} }}",
        f"http-request del-header {HEADER}",
        *_forwarded(config),
        *(f"use_backend {backend_of(slot, tested=True)} if {{ var(txn.slot) -m str {slot} }}" for slot in SLOTS),
    ]


def _forwarded(config: Config) -> list[str]:
    lines = []
    for name, value in (("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "%[req.hdr(Host)]")):
        kept = f" unless {{ req.hdr({name}) -m found }}" if config.trust_forwarded else ""
        lines.append(f"http-request set-header {name} {value}{kept}")
    return lines


def _backend(config: Config, state: State, slot: str, *, tested: bool) -> list[str]:
    lines = [f"backend {backend_of(slot, tested=tested)}", "balance roundrobin"]
    if config.health.path is not None and not tested:
        lines += [
            "option httpchk",
            f"http-check send meth GET uri {quoted(config.health.path)} ver HTTP/1.1 hdr Host localhost",
            "http-check expect status 200-399",
        ]
    if config.served_by:
        lines.append(f"http-response set-header {SERVED_BY} {slot}")
    words = server_words(config, tested=tested)
    return lines + [f"server {name_of(address)} {address}{words}" for address in state.targets[slot]]


def _ms(seconds: float) -> str:
    return f"{max(round(seconds * 1000), 1)}ms"
