"""``@exchange``: records any function that maps a prompt to a response."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast, overload

from custodes_sdk.recording import Recording
from custodes_sdk.surroundings import Documents, context
from custodes_sdk.texts import prompt_to_text

P = ParamSpec("P")
R = TypeVar("R")

_PROMPTS = ("prompt", "question", "query", "messages", "message", "input", "text", "user_input")
_DOCUMENTS = ("documents", "contexts", "context", "docs", "passages")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one function is recorded. ``prompt`` and ``documents`` name parameters."""

    name: str
    model: str | None
    provider: str | None
    signature: inspect.Signature | None
    prompt: str | None
    documents: str | None
    response: Callable[[Any], str | None] | None

    def begin(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Recording, Documents | None]:
        given = _bind(self.signature, arguments, named)
        model = given.get("model")
        prompt = prompt_to_text(given.get(self.prompt)) if self.prompt else None
        documents = given.get(self.documents) if self.documents else None
        with context(documents=cast(Any, documents)):
            recording = Recording(
                self.name,
                model=self.model or (model if isinstance(model, str) else None),
                provider=self.provider,
                prompt=prompt,
            )
        return recording, documents

    def answer(self, recording: Recording, value: object) -> None:
        if self.response is None:
            recording.answer(value)
            return
        try:
            recording.answer(self.response(value))
        except Exception:  # A reader that fails gives no text; the call itself went well.
            recording.answer(None)


@overload
def exchange(function: Callable[P, R], /) -> Callable[P, R]:
    """Record every call of a function."""


@overload
def exchange(
    *,
    name: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    prompt: str | None = None,
    documents: str | None = None,
    response: Callable[[Any], str | None] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that records every call, told where prompt, documents and response are."""


def exchange(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    prompt: str | None = None,
    documents: str | None = None,
    response: Callable[[Any], str | None] | None = None,
) -> Any:
    """Record every call of a function as one exchange: prompt in, response out.

    Works on functions, coroutine functions, generators and asynchronous generators; streams pass through chunk by
    chunk and their joined text is recorded. ``prompt`` and ``documents`` name the parameters that hold them (by default
    the first of prompt, question, query, messages, … and of documents, contexts, context, …); ``response`` takes the
    text out of a result of an unusual shape. What the function raises is noted and raised on unchanged.
    """

    def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        return _wrap(wrapped, _plan(wrapped, name, model, provider, prompt, documents, response))

    return decorate if function is None else decorate(function)


def _plan(
    function: Callable[..., Any],
    name: str | None,
    model: str | None,
    provider: str | None,
    prompt: str | None,
    documents: str | None,
    response: Callable[[Any], str | None] | None,
) -> _Plan:
    try:
        signature: inspect.Signature | None = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None
    names = [] if signature is None else list(signature.parameters)
    own = [one for one in names if one not in ("self", "cls")]
    for given in (prompt, documents):
        if given is not None and given not in names:
            raise ValueError(f"{function!r} has no parameter {given!r}; it has {', '.join(names) or 'none'}")
    first = next((one for one in own if one not in _DOCUMENTS and one != "model"), None)
    return _Plan(
        name=name or str(getattr(function, "__name__", type(function).__name__)),
        model=model,
        provider=provider,
        signature=signature,
        prompt=prompt or next((one for one in _PROMPTS if one in own), first),
        documents=documents or next((one for one in _DOCUMENTS if one in own), None),
        response=response,
    )


def _bind(
    signature: inspect.Signature | None, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> Mapping[str, Any]:
    if signature is None:
        return {}
    try:
        return signature.bind_partial(*arguments, **named).arguments
    except TypeError:
        return {}  # The call itself will say what is wrong.


def _wrap(function: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        def stream_async(*arguments: Any, **named: Any) -> AsyncGenerator[Any, Any]:
            return _follow_async(function(*arguments, **named), plan, arguments, named)

        return stream_async
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def stream(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
            return _follow(function(*arguments, **named), plan, arguments, named)

        return stream
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*arguments: Any, **named: Any) -> Any:
            return await _await(lambda: function(*arguments, **named), plan, arguments, named)

        return call_async

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return _call(function, plan, arguments, named)

    return call


def _call(function: Callable[..., Any], plan: _Plan, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    recording, documents = plan.begin(arguments, named)
    try:
        with _inside(recording, documents):
            result = function(*arguments, **named)
    except BaseException as error:
        recording.failed(error)
        recording.end()
        raise
    if isinstance(result, types.GeneratorType):
        return _continue(result, plan, recording, documents)
    if isinstance(result, types.AsyncGeneratorType):
        return _continue_async(result, plan, recording, documents)
    if inspect.iscoroutine(result):
        return _finish(result, plan, recording, documents)
    plan.answer(recording, result)
    recording.end()
    return result


async def _await(
    start: Callable[[], Awaitable[Any]], plan: _Plan, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> Any:
    recording, documents = plan.begin(arguments, named)
    return await _finish(start(), plan, recording, documents)


async def _finish(pending: Awaitable[Any], plan: _Plan, recording: Recording, documents: Documents | None) -> Any:
    try:
        with _inside(recording, documents):
            result = await pending
    except BaseException as error:
        recording.failed(error)
        recording.end()
        raise
    if isinstance(result, types.AsyncGeneratorType):
        return _continue_async(result, plan, recording, documents)
    plan.answer(recording, result)
    recording.end()
    return result


def _follow(
    inner: Generator[Any, Any, Any], plan: _Plan, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> Generator[Any, Any, Any]:
    recording, documents = plan.begin(arguments, named)
    return (yield from _continue(inner, plan, recording, documents))


def _continue(
    inner: Generator[Any, Any, Any], plan: _Plan, recording: Recording, documents: Documents | None
) -> Generator[Any, Any, Any]:
    """Pass a generator through: what is sent and thrown in reaches it, what it yields and returns comes out.

    Each step runs inside the exchange and the pauses between them do not, since they belong to the consumer.
    """
    step: Callable[[], Any] = functools.partial(next, inner)
    try:
        while True:
            try:
                with _inside(recording, documents):
                    chunk = step()
            except StopIteration as stop:
                return stop.value
            _note(plan, recording, chunk)
            try:
                sent = yield chunk
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # Thrown in by the consumer, and the generator's to handle.
                step = functools.partial(inner.throw, error)
            else:
                step = functools.partial(inner.send, sent)
    except GeneratorExit:
        raise
    except BaseException as error:
        recording.failed(error)
        raise
    finally:
        recording.end()


async def _follow_async(
    inner: AsyncGenerator[Any, Any], plan: _Plan, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> AsyncGenerator[Any, Any]:
    recording, documents = plan.begin(arguments, named)
    following = _continue_async(inner, plan, recording, documents)
    sent: Any = None
    try:
        while True:
            try:
                chunk = await following.asend(sent)
            except StopAsyncIteration:
                return
            sent = yield chunk
    finally:
        await following.aclose()


async def _continue_async(
    inner: AsyncGenerator[Any, Any], plan: _Plan, recording: Recording, documents: Documents | None
) -> AsyncGenerator[Any, Any]:
    step: Callable[[], Awaitable[Any]] = inner.__anext__
    try:
        while True:
            try:
                with _inside(recording, documents):
                    chunk = await step()
            except StopAsyncIteration:
                return
            _note(plan, recording, chunk)
            try:
                sent = yield chunk
            except GeneratorExit:
                await inner.aclose()
                raise
            except BaseException as error:  # As above.
                step = functools.partial(inner.athrow, error)
            else:
                step = functools.partial(inner.asend, sent)
    except GeneratorExit:
        raise
    except BaseException as error:
        recording.failed(error)
        raise
    finally:
        recording.end()


def _note(plan: _Plan, recording: Recording, chunk: object) -> None:
    if plan.response is None:
        recording.chunk(chunk)
        return
    try:
        recording.chunk(plan.response(chunk))
    except Exception:  # A reader that fails adds no text.
        return


def _inside(recording: Recording, documents: Documents | None) -> ExitStack:
    """Return a block in which spans are the exchange's, with its documents."""
    stack = ExitStack()
    if documents is not None:
        stack.enter_context(context(documents=cast(Any, documents)))
    stack.enter_context(recording.entered())
    return stack
