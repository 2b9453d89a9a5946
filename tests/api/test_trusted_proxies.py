"""Forwarded addresses, schemes and hosts: only those of proxies that are trusted."""

import pytest

from alchemist.api.trusted_proxies import HEADERS, TrustedProxies

NETWORKS = ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1")
CLIENT = "198.51.100.7"


def environ(peer, scheme="http", **headers):
    return {"REMOTE_ADDR": peer, "wsgi.url_scheme": scheme} | {
        f"HTTP_{name.upper()}": value for name, value in headers.items()
    }


def client_address(peer, forwarded_for, names=NETWORKS):
    return TrustedProxies(names).client_address(environ(peer, x_forwarded_for=forwarded_for))


def origin(peer, names=NETWORKS, authority="service:8000", **headers):
    return TrustedProxies(names).origin(environ(peer, **headers), authority)


@pytest.mark.parametrize("peer", ["10.1.2.3", "2001:db8::5", "192.0.2.1", "::ffff:10.1.2.3"])
def test_the_address_of_the_client_is_that_which_a_trusted_proxy_reports(peer):
    assert client_address(peer, CLIENT) == CLIENT


@pytest.mark.parametrize("peer", ["198.51.100.9", "192.0.2.2", "::1", "127.0.0.1", "", "?"])
def test_a_peer_that_is_not_trusted_reports_nothing(peer):
    assert client_address(peer, CLIENT) == peer


@pytest.mark.parametrize("peer", ["10.1.2.3", ""])
def test_by_default_no_proxy_is_trusted(peer):
    assert client_address(peer, CLIENT, ()) == peer


def test_the_peers_of_a_unix_socket_are_trusted_by_name():
    assert client_address("", CLIENT, ["unix"]) == CLIENT
    assert client_address("10.1.2.3", CLIENT, ["unix"]) == "10.1.2.3"


def test_what_a_client_sends_in_front_of_its_address_is_ignored():
    assert client_address("10.1.2.3", f"203.0.113.1, {CLIENT}") == CLIENT


def test_a_chain_of_trusted_proxies_is_followed_to_its_first_client():
    assert client_address("", f"203.0.113.1,{CLIENT}, 10.9.9.9", [*NETWORKS, "unix"]) == CLIENT
    assert client_address("10.1.2.3", "10.9.9.9") == "10.9.9.9"


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        (f"{CLIENT}:4711", CLIENT),
        ("[2a00::7]:4711", "2a00::7"),
        ("[2a00::7]", "2a00::7"),
        ("2a00:0:0::7", "2a00::7"),
        ("::ffff:198.51.100.7", CLIENT),
    ],
)
def test_an_address_may_have_a_port_and_any_spelling(hop, address):
    assert client_address("10.1.2.3", hop) == address


@pytest.mark.parametrize("hop", ["", "unknown", "_hidden", "1.2.3", "a\x00", f"{CLIENT} x", "["])
def test_what_is_no_address_ends_the_chain(hop):
    assert client_address("10.1.2.3", f"{CLIENT}, {hop}") == "10.1.2.3"


def test_the_origin_of_a_direct_request_is_its_own():
    assert origin(CLIENT) == "http://service:8000"
    assert origin(CLIENT, scheme="https", authority="[::1]") == "https://[::1]"


@pytest.mark.parametrize("header", HEADERS)
def test_the_origin_of_a_request_from_an_unknown_proxy_is_unknown(header):
    assert origin("127.0.0.1", **{header.replace("-", "_"): "https"}) == ""


def test_the_origin_of_a_request_from_a_trusted_proxy_is_what_that_reports():
    forwarded = {"x_forwarded_proto": "https", "x_forwarded_host": "shop.example"}
    assert origin("10.1.2.3", **forwarded) == "https://shop.example"
    assert origin("", ["unix"], **forwarded) == "https://shop.example"
    assert origin("10.1.2.3", x_forwarded_proto="HTTPS") == "https://service:8000"


def test_the_nearest_proxy_wins():
    forwarded = {"x_forwarded_proto": "ftp, https", "x_forwarded_host": "a.example, b.example"}
    assert origin("10.1.2.3", **forwarded) == "https://b.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": CLIENT},
        {"x_forwarded_proto": "javascript"},
        {"x_forwarded_proto": "https", "x_forwarded_host": "evil.example/path"},
        {"x_forwarded_proto": "https", "x_forwarded_host": 'a>; rel="next", <b'},
    ],
)
def test_the_origin_is_unknown_if_a_trusted_proxy_reports_no_valid_one(headers):
    assert origin("10.1.2.3", **headers) == ""


def test_the_origin_is_unknown_without_a_host_and_on_a_unix_socket():
    assert origin(CLIENT, authority="") == ""
    assert origin("") == ""
