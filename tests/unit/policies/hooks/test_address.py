from __future__ import annotations

import ipaddress
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.errors import ConfigurationError
from policies.errors import EndpointError, UnresolvedError
from policies.hooks.address import (
    AddressRules,
    check_address,
    check_url,
    resolve_target,
    shown_address,
    system_resolver,
    within,
)


class TestPermits:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:4136:e378::1",
            "2001:db8::1",
            "::127.0.0.1",
            "::10.0.0.1",
            "3fff::1",
            "5f00::1",
            "100::1",
        ],
    )
    def test_refuses_every_address_that_is_not_plainly_public(self, address: str) -> None:
        assert not AddressRules().permits(ipaddress.ip_address(address))

    @pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
    def test_accepts_public_addresses(self, address: str) -> None:
        assert AddressRules().permits(ipaddress.ip_address(address))

    def test_accepts_the_private_networks_it_was_told_to(self) -> None:
        rules = AddressRules.of(["127.0.0.0/8", "fd00::/8"])
        assert rules.permits(ipaddress.ip_address("127.0.0.1"))
        assert rules.permits(ipaddress.ip_address("::ffff:127.0.0.1"))
        assert rules.permits(ipaddress.ip_address("fd00::1"))
        assert not rules.permits(ipaddress.ip_address("10.0.0.1"))
        assert not rules.permits(ipaddress.ip_address("169.254.169.254"))

    def test_refuses_a_network_that_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="ALLOWED_PRIVATE_CIDRS"):
            AddressRules.of(["here"])

    @given(st.ip_addresses(v=4))
    def test_judges_a_mapped_address_as_the_address_inside(self, address: ipaddress.IPv4Address) -> None:
        mapped = ipaddress.ip_address(f"::ffff:{address}")
        assert AddressRules().permits(mapped) == AddressRules().permits(address)


class TestCheckUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "hooks.example",
            "//hooks.example/x",
            "ftp://hooks.example",
            "file:///etc/passwd",
            "https://",
            "https://user@hooks.example",
            "https://:pw@hooks.example",
            "https://hooks.example:0/",
            "https://hooks.example:99999/",
            "https://[::1/",
            "https://hooks.example/a b",
            "https://hooks.example/\r\nX: y",
            "https://hooks.exämple/",
            "https://hooks.example/" + "x" * 2048,
        ],
    )
    def test_refuses_what_is_no_plain_web_address(self, url: str) -> None:
        with pytest.raises(EndpointError):
            check_url(url)

    @given(st.text(max_size=60))
    def test_lets_only_its_own_error_escape(self, text: str) -> None:
        with suppress(EndpointError):
            assert check_url(f"https://{text}").hostname


class TestResolveTarget:
    def test_gives_every_address_of_the_host(self) -> None:
        found = resolve_target("https://hooks.example/x", AddressRules(), lambda host, port: ["8.8.8.8", "8.8.4.4"])
        assert found == ["8.8.8.8", "8.8.4.4"]

    def test_refuses_a_host_with_one_forbidden_address_among_good_ones(self) -> None:
        with pytest.raises(EndpointError, match=r"169\.254\.169\.254"):
            resolve_target("https://hooks.example", AddressRules(), lambda host, port: ["8.8.8.8", "169.254.169.254"])

    @pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
    def test_refuses_every_way_to_write_this_machine(self, host: str) -> None:
        with pytest.raises(EndpointError, match="may not reach"):
            resolve_target(f"https://{host}/", AddressRules(), system_resolver)

    def test_asks_for_the_port_of_the_scheme(self) -> None:
        asked: list[tuple[str, int]] = []

        def resolver(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return ["8.8.8.8"]

        rules = AddressRules(allow_http=True)
        for url in ("https://a.example", "http://a.example", "https://a.example:8443"):
            resolve_target(url, rules, resolver)
        assert [port for _, port in asked] == [443, 80, 8443]

    def test_refuses_plain_http_unless_allowed(self) -> None:
        with pytest.raises(EndpointError, match="ALLOW_HTTP"):
            resolve_target("http://hooks.example", AddressRules(), lambda host, port: ["8.8.8.8"])

    @pytest.mark.parametrize("found", [[], None])
    def test_calls_a_host_without_address_unresolved(self, found: list[str] | None) -> None:
        def resolver(host: str, port: int) -> list[str]:
            if found is None:
                raise OSError("no such host")
            return found

        with pytest.raises(UnresolvedError, match="the host"):
            resolve_target("https://hooks.example", AddressRules(), resolver)


class TestPorts:
    @pytest.mark.parametrize(
        ("url", "good"),
        [
            ("https://hooks.example/", True),
            ("https://hooks.example:443/", True),
            ("https://hooks.example:8443/", True),
            ("https://hooks.example:22/", False),
            ("http://hooks.example/", False),
            ("https://10.0.0.1:6379/", False),
        ],
    )
    def test_only_listed_ones_are_reached_on_private_addresses_too(self, url: str, good: bool) -> None:
        rules = AddressRules.of(["10.0.0.0/8"], allow_http=True, ports=[443, 8443])
        asked = []

        def resolver(host: str, port: int) -> list[str]:
            asked.append(host)
            return [host if host[0].isdigit() else "8.8.8.8"]

        if good:
            assert resolve_target(url, rules, resolver) == ["8.8.8.8"]
        else:
            with pytest.raises(EndpointError, match="CUSTODES_WEBHOOK__ALLOWED_PORTS"):
                resolve_target(url, rules, resolver)
            assert asked == []


class TestWithin:
    def test_it_answers_as_the_resolver_does(self) -> None:
        def unknown(host: str, port: int) -> list[str]:
            raise OSError("no such host")

        assert within(lambda host, port: [host], 5)("8.8.8.8", 443) == ["8.8.8.8"]
        with pytest.raises(OSError, match="no such host"):
            within(unknown, 5)("a.example", 443)

    def test_a_name_server_that_hangs_is_a_host_that_does_not_resolve(self) -> None:
        done = threading.Event()

        def hang(host: str, port: int) -> list[str]:
            done.wait(10)
            return ["8.8.8.8"]

        with pytest.raises(UnresolvedError):
            resolve_target("https://hooks.example/", AddressRules(), within(hang, 0.05))
        done.set()


class TestCheckAddress:
    @pytest.mark.parametrize("url", ["smtp://mail.example.org", "smtps://mail.example.org:465/"])
    def test_it_takes_mail_servers(self, url: str) -> None:
        assert check_address(url, mail=True).hostname == "mail.example.org"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "https://a.example",
            "smtp://",
            "smtp://a:b@c.example",
            "smtp://a.example/x",
            "smtp://a.example?x",
            "smtp://a:0",
        ],
    )
    def test_it_refuses_others(self, url: str) -> None:
        with pytest.raises(EndpointError):
            check_address(url, mail=True)

    def test_a_secret_address_is_shown_by_its_host(self) -> None:
        assert shown_address("https://hooks.slack.com/services/T/B/hush?x=hush#hush") == "https://hooks.slack.com/…"
