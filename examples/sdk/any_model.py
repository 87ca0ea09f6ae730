"""Any function that maps a prompt to a response, recorded without an instrumentation: plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator

import custodes_sdk


@custodes_sdk.exchange(model="house-model-3")
def answer(prompt: str, documents: list[str]) -> str:
    """Stand in for a model of your own."""
    return f"According to {len(documents)} documents: nine o'clock."


@custodes_sdk.exchange(model="house-model-3")
def stream(prompt: str) -> Iterator[str]:
    """Stand in for a model that streams; every chunk passes as it comes."""
    yield from ("Nine ", "o'clock.")


def main() -> None:
    """Ask twice."""
    custodes_sdk.init(service="house-bot")
    with custodes_sdk.context(session="s-1", user="u-42"):
        print(answer("When does the warehouse open?", documents=["The warehouse opens at nine."]))
        print("".join(stream("When does the warehouse open?")))


if __name__ == "__main__":
    main()
