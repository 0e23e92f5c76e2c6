from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from healthchecks.addresses import Address, Judge, Refused, judge, judge_public, judge_public_or_private, pin, places

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fd12::1",
]
OUTSIDE = [
    "169.254.169.254",  # the metadata service of most clouds
    "169.254.170.2",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fe80::1",
    "::ffff:169.254.169.254",
    "::ffff:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "0.0.0.0",
    "::",
    "8.8.8.8",
    "168.63.129.16",
    "100.100.100.200",
    "172.32.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "2001:db8::1",
]
ODD = [
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.1./",
    "http://127.0.0.0x1./",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://127.0.0.1%2f/",
    "http://[::1%25lo]/",
    "http://[::1%lo]/",
    "http://[127.0.0.1]/",
    "http://[v1.x]/",
    "http://[::1/",
    "http://::1/",
    "http:///path",
    "http://",
    "//127.0.0.1/",
    "127.0.0.1:80",
    "http:127.0.0.1",
    "http://127.0.0.1:/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:8_0/",
    "http://127.0.0.1:80:80/",
    "http://127.0.0.1\\@10.0.0.1/",
    "http://127.0.0.1 /",
    "http://127.0.0.1\r\nHost: evil/",
    "\thttp://127.0.0.1/",
    "http://127.0.0.1/?to=1",
    "http://127.0.0.1/#x",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "ftp://127.0.0.1/",
    "",
]


def _literal(address: str) -> str:
    return f"http://[{address}]:81" if ":" in address else f"http://{address}:81"


@pytest.mark.parametrize("address", INSIDE)
def test_own_networks_can_be_asked(address: str) -> None:
    """Otherwise no instance could be checked at all."""
    assert str(pin(_literal(address)).address) == address


@pytest.mark.parametrize("address", OUTSIDE)
def test_foreign_and_metadata_addresses_are_refused(address: str) -> None:
    """Otherwise a check hands out the credentials that a metadata service gives to whoever asks."""
    with pytest.raises(Refused):
        pin(_literal(address))


@pytest.mark.parametrize("url", ODD)
def test_odd_spellings_are_refused(url: str) -> None:
    """Otherwise what was judged and what is connected to are two different places."""
    with pytest.raises(Refused):
        pin(url)


@pytest.mark.parametrize("url", ["http://me:hunter2@127.0.0.1/", "http://hunter2@127.0.0.1/", "http://@127.0.0.1"])
def test_user_names_and_passwords_are_refused_and_not_repeated(url: str) -> None:
    """Otherwise a password from an address ends up in the journal."""
    with pytest.raises(Refused) as refused:
        pin(url)
    assert "hunter2" not in str(refused.value)


def test_a_name_is_refused_without_a_resolver() -> None:
    """Otherwise a check asks whatever a name happens to stand for at that moment."""
    with pytest.raises(Refused, match="is a name"):
        pin("http://localhost:80")


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    """Otherwise a second look-up could lead elsewhere (DNS rebinding)."""
    answers = iter([["10.0.0.7"], ["169.254.169.254"]])
    pinned = pin("http://shop.internal:8080/base/", lambda _: next(answers))
    assert (str(pinned.address), pinned.port, pinned.path) == ("10.0.0.7", 8080, "/base")
    assert pinned.authority == "shop.internal:8080"


@pytest.mark.parametrize("found", [["10.0.0.7", "169.254.169.254"], ["fd00:ec2::254", "10.0.0.7"], [], ["nonsense"]])
def test_every_address_of_a_name_has_to_be_allowed(found: list[str]) -> None:
    """Otherwise one good record beside a bad one lets the bad one through."""
    with pytest.raises(Refused):
        pin("http://shop.internal", lambda _: found)


@pytest.mark.parametrize("name", ["shop_1.internal", "-a.internal", "a..b", "a" * 64 + ".x", "x.0x7f", "a." * 130])
def test_names_that_programs_read_differently_are_refused(name: str) -> None:
    """Otherwise a name that one parser skips and another resolves gets around the judgement."""
    with pytest.raises(Refused):
        pin(f"http://{name}/", lambda _: ["10.0.0.7"])


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://127.0.0.1", "127.0.0.1"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("https://127.0.0.1:443", "127.0.0.1"),
        ("https://127.0.0.1:80", "127.0.0.1:80"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_host_header_is_what_a_browser_would_send(url: str, authority: str) -> None:
    """Otherwise servers that choose a site by its name answer for the wrong one."""
    assert pin(url).authority == authority


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
@example(ip_address("::ffff:10.0.0.1"))
def test_only_private_and_loopback_addresses_ever_pass(address: object) -> None:
    """Otherwise a hole in the list of networks goes unseen."""
    judged = ip_address(str(address))
    try:
        judge(judged)
    except Refused:
        return
    assert judged.is_loopback or judged.is_private
    assert not (judged.is_link_local or judged.is_multicast or judged.is_unspecified)


@given(st.integers(0, 0xFFFF))
def test_no_link_local_address_passes(low: int) -> None:
    """Otherwise one of the metadata services beside the famous address is reachable."""
    for network in ("169.254.0.0/16", "fd00:ec2::/112"):
        with pytest.raises(Refused):
            judge(ip_network(network)[low])


@given(st.text(max_size=40), st.sampled_from(["", "http://", "http://127.0.0.1", "http://[", "http://10.0.0.1:"]))
@example("a%00b", "http://")
def test_no_text_gets_anything_but_an_address_or_a_refusal(text: str, prefix: str) -> None:
    """Otherwise a strange address crashes a gate instead of being named as the reason."""
    try:
        pinned = pin(prefix + text)
    except Refused:
        return
    judge(pinned.address)
    assert 1 <= pinned.port <= 65535


@given(st.integers(0, 0xFFFFFFFF))
def test_numbers_are_no_addresses(number: int) -> None:
    """Otherwise 2852039166 reaches the metadata service."""
    for spelling in (str(number), hex(number), f"0{number:o}"):
        with pytest.raises(Refused):
            pin(f"http://{spelling}/", lambda _: ["10.0.0.7"])


@given(st.ip_addresses(v=4))
def test_leading_zeros_are_never_guessed_at(address: object) -> None:
    """Otherwise 010.0.0.1 is ten for one program and eight for another."""
    first, rest = str(address).split(".", 1)
    assume(first != "0")
    with pytest.raises(Refused):
        pin(f"http://0{first}.{rest}/", lambda _: ["10.0.0.7"])


# What people name themselves: public, and private where they say so

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::808:808"]
NEVER = [
    "169.254.169.254",
    "168.63.129.16",
    "64:ff9b::a83f:8110",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "2002:808:808::",
    "2001:0:808:808::",
    "2001:db8::1",
    "3fff::1",
    "0.0.0.0",
    "::",
    "100.100.100.200",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "ff0e::1",
    "240.0.0.1",
    "255.255.255.255",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass_only_where_they_are_meant_to(address: str) -> None:
    """Nobody outside can be told anything, or a check asks the internet."""
    judge_public(ip_address(address))
    judge_public_or_private(ip_address(address))
    with pytest.raises(Refused):
        judge(ip_address(address))


@pytest.mark.parametrize("address", INSIDE)
def test_own_networks_pass_only_where_they_are_meant_to(address: str) -> None:
    """A webhook posts to what trusts this host, or an office's own receiver cannot be told."""
    judge_public_or_private(ip_address(address))
    with pytest.raises(Refused):
        judge_public(ip_address(address))


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_pass_nowhere(address: str) -> None:
    """A webhook fetches nothing, but a post to a metadata service or a tunnel does harm enough."""
    for policy in (judge, judge_public, judge_public_or_private):
        with pytest.raises(Refused):
            policy(ip_address(address))


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
@example(ip_address("64:ff9b::a00:1"))
@example(ip_address("fd00:ec2::254"))
def test_together_the_policies_allow_what_each_allows_and_no_more(address: object) -> None:
    """An address that neither policy allows gets through by both together."""
    judged = ip_address(str(address))
    passed = {policy for policy in (judge, judge_public, judge_public_or_private) if _passes(policy, judged)}
    assert (judge_public_or_private in passed) == bool(passed & {judge, judge_public})
    assert not {judge, judge_public} <= passed
    if judge_public in passed:
        assert judged.is_global and not judged.is_multicast and not judged.is_private


def _passes(policy: Judge, address: Address) -> bool:
    try:
        policy(address)
    except Refused:
        return False
    return True


def test_all_records_of_a_name_are_places_in_their_order() -> None:
    """Where the first address takes no connection there is no second one to try."""
    found = places("https://hooks.example/in/?key=1", lambda _: ["2606:4700::1111", "8.8.8.8"], judge_public)
    assert [str(each.address) for each in found] == ["2606:4700::1111", "8.8.8.8"]
    assert {(each.authority, each.port, each.path) for each in found} == {("hooks.example", 443, "/in/?key=1")}


@pytest.mark.parametrize("records", [["8.8.8.8", "10.0.0.7"], ["127.0.0.1", "8.8.8.8"], []])
def test_one_bad_record_refuses_all_places(records: list[str]) -> None:
    """One good record beside a bad one lets the bad one through."""
    with pytest.raises(Refused):
        places("https://hooks.example/", lambda _: records, judge_public)


@pytest.mark.parametrize("url", [url for url in ODD if "?" not in url])
def test_odd_spellings_are_refused_as_places_too(url: str) -> None:
    """The less strict policy has a less strict reader."""
    with pytest.raises(Refused):
        places(url, lambda _: ["8.8.8.8"], judge_public_or_private)
