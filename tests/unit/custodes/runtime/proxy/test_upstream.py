"""The upstream's address, and which headers pass a hop."""

from __future__ import annotations

import pytest

from custodes.kernel.errors import ConfigurationError
from custodes.runtime.proxy.upstream import Upstream, response_headers


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "path", "query", "target"),
        [
            ("http://h", b"/v1/chat/completions", b"", b"http://h/v1/chat/completions"),
            ("http://h:8000/", b"/v1/models", b"a=b", b"http://h:8000/v1/models?a=b"),
            ("https://h/base", b"/v1/models", b"", b"https://h/base/v1/models"),
            ("https://h/v1", b"/v1/models", b"", b"https://h/v1/models"),
            ("https://h/v1", b"/v1beta", b"", b"https://h/v1/v1beta"),
            ("http://[::1]:80", b"/a%2Fb", b"", b"http://[::1]:80/a%2Fb"),
        ],
    )
    def test_calls_go_below_it(self, address: str, path: bytes, query: bytes, target: bytes) -> None:
        upstream = Upstream.parse(address)
        url = upstream.url(path, query)
        port = b"" if url.port is None else b":%d" % url.port
        host = b"[%b]" % url.host if b":" in url.host else url.host
        assert url.scheme + b"://" + host + port + url.target == target
        assert upstream.authority == host + port

    @pytest.mark.parametrize(
        "address",
        ["", "api.openai.com", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://u:p@h", "http://h?a=b"],
    )
    def test_what_is_none_is_refused_and_named(self, address: str) -> None:
        with pytest.raises(ConfigurationError, match="--upstream"):
            Upstream.parse(address)

    @pytest.mark.parametrize(
        ("address", "provider"),
        [
            ("https://api.openai.com", "openai"),
            ("https://x.openai.azure.com", "azure.ai.openai"),
            ("http://127.0.0.1:8000", "openai_compatible"),
            ("https://evil-api.openai.com.example.org", "openai_compatible"),
        ],
    )
    def test_its_provider_is_told_from_the_host(self, address: str, provider: str) -> None:
        assert Upstream.parse(address).provider == provider


class TestHeaders:
    def test_what_ends_at_a_hop_does_not_pass(self) -> None:
        given = [
            (b"Host", b"proxy"),
            (b"Connection", b"keep-alive, X-Secret"),
            (b"X-Secret", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"TE", b"trailers"),
            (b"Upgrade", b"h2c"),
            (b"X-Custodes-User", b"u"),
            (b"Authorization", b"Bearer k"),
            (b"X-Two", b"a"),
            (b"X-Two", b"b"),
        ]
        passed = Upstream.parse("http://h:1").request_headers(given, codings=None)
        assert passed == [(b"host", b"h:1"), (b"Authorization", b"Bearer k"), (b"X-Two", b"a"), (b"X-Two", b"b")]
        assert response_headers(given[1:3] + given[8:]) == [(b"x-two", b"a"), (b"x-two", b"b")]

    @pytest.mark.parametrize(
        ("asked", "promised"),
        [
            (b"gzip, br", b"gzip"),
            (b"br;q=1.0, deflate;q=0.5", b"deflate;q=0.5"),
            (b"br", b"identity"),
            (b"*", b"identity"),
        ],
    )
    def test_only_encodings_that_can_be_read_are_promised(self, asked: bytes, promised: bytes) -> None:
        upstream = Upstream.parse("http://h")
        headers = [(b"accept-encoding", asked)]
        assert (b"accept-encoding", promised) in upstream.request_headers(
            headers, codings=frozenset({b"gzip", b"deflate"})
        )
        assert (b"accept-encoding", asked) in upstream.request_headers(headers, codings=None)
