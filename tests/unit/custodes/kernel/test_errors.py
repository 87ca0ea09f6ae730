"""The error tree: one root, drawn as it is, carrying data rather than status codes."""

from __future__ import annotations

import inspect

import pytest

from custodes.kernel import errors

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


class TestTree:
    @pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
    def test_it_has_one_root(self, kind: type[BaseException]) -> None:
        assert issubclass(kind, errors.CustodesError)

    @pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
    def test_it_is_drawn_in_the_docstring(self, kind: type[BaseException]) -> None:
        assert errors.__doc__ is not None
        lines = [line for line in errors.__doc__.splitlines() if line.lstrip(" │├└─").split(" ")[0] == kind.__name__]
        assert len(lines) == 1
        depth = (len(lines[0]) - len(lines[0].lstrip(" │├└─"))) // 4 - 1
        assert depth == len(kind.__mro__) - len(errors.CustodesError.__mro__)

    def test_it_shadows_no_builtin(self) -> None:
        import builtins

        assert [kind.__name__ for kind in CLASSES if hasattr(builtins, kind.__name__)] == []


class TestData:
    @pytest.mark.parametrize(("asked", "given"), [(0.5, 0.5), (5.0, 5.0), (60.0, 5.0)])
    def test_it_never_asks_an_exporter_to_wait_longer_than_it_would(self, asked: float, given: float) -> None:
        assert errors.OverloadedError("full", retry_after_s=asked).retry_after_s == given

    def test_it_carries_limit_and_size(self) -> None:
        error = errors.TooLargeError("too large", limit=10, seen=11)
        assert (error.limit, error.seen, str(error)) == (10, 11, "too large")

    def test_it_carries_the_role_and_the_roles_that_may(self) -> None:
        error = errors.PermissionError_("no", role="viewer", needed=("admin",))
        assert (error.role, error.needed) == ("viewer", ("admin",))
