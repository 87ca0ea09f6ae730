"""A busy port is one clear message that names the setting."""

from __future__ import annotations

import pytest

from custodes.kernel.errors import UnavailableError
from custodes.runtime.ports import bind_port, check_port_free


class TestPorts:
    def test_it_names_a_busy_port_and_the_setting(self) -> None:
        holder = bind_port("127.0.0.1", 0, "CUSTODES_HTTP__PORT")
        port = holder.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} .* in use.*CUSTODES_HTTP__PORT"):
            check_port_free("127.0.0.1", port, "CUSTODES_HTTP__PORT")
        holder.close()
        check_port_free("127.0.0.1", port, "CUSTODES_HTTP__PORT")

    def test_it_names_an_address_that_is_not_ours(self) -> None:
        with pytest.raises(UnavailableError, match=r"cannot listen on 192\.0\.2\.1"):
            bind_port("192.0.2.1", 0, "CUSTODES_HTTP__PORT")
