"""Extensions: how they are offered, granted and confirmed (RFC 6455 section 9).

Knows the order of things: who chooses what, and that nothing is agreed on twice. What
an extension's parameters mean is decided by its factories; those of permessage-deflate
are in ``permessage_deflate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import NegotiationError
from ..escaping import excerpt
from ..messages import Deflate
from .extension_base import (
    Agreed,
    ClientExtensionFactory,
    Extension,
    ServerExtensionFactory,
)
from .fields import (
    ExtensionHeader,
    ExtensionParameter,
    build_extension,
    combined,
    parse_extension,
)
from .permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

__all__ = [
    "Agreed",
    "ClientExtensionFactory",
    "ClientPerMessageDeflateFactory",
    "Extension",
    "ExtensionParameter",
    "ServerExtensionFactory",
    "ServerPerMessageDeflateFactory",
    "check_factories",
    "confirm",
    "grant",
    "offer",
    "split",
]


def check_factories(factories: Iterable[object], kind: type) -> None:
    """Raise TypeError for what is no factory of this ``kind``, a base class.

    Anything that has its name and methods is one.
    """
    names = ["name", *sorted(kind.__abstractmethods__)]  # type: ignore[attr-defined]
    for factory in factories:
        missing = [name for name in names if not hasattr(factory, name)]
        if missing:
            raise TypeError(
                f"extensions has a {type(factory).__name__} without "
                f"{', '.join(missing)}; {kind.__name__} expected"
            )


def offer(factories: Iterable[ClientExtensionFactory]) -> str | None:
    """Return the Sec-WebSocket-Extensions field of a request; None to send none."""
    offers = [
        (factory.name, params)
        for factory in factories
        for params in _offers_of(factory)
    ]
    return build_extension(offers) if offers else None


def split(agreed: Sequence[Agreed]) -> tuple[Deflate | None, tuple[Agreed, ...]]:
    """Return permessage-deflate if frames go through it first, and what follows.

    The order is that of the field, for both sides (RFC 6455 section 9.1).
    """
    if agreed and isinstance(agreed[0], Deflate):
        return agreed[0], tuple(agreed[1:])
    return None, tuple(agreed)


def _offers_of(
    factory: ClientExtensionFactory,
) -> Sequence[Sequence[ExtensionParameter]]:
    if hasattr(factory, "get_offers"):
        return factory.get_offers()
    return [factory.get_request_params()]


def _is_in(name: str, agreed: Iterable[Agreed]) -> bool:
    return any(name == getattr(extension, "name", None) for extension in agreed)


def _parse(header_values: Iterable[str]) -> list[ExtensionHeader]:
    return parse_extension(combined(list(header_values)))


def grant(
    header_values: Iterable[str], factories: Sequence[ServerExtensionFactory]
) -> tuple[str | None, list[Agreed]]:
    """Return the field that answers a client's offers, and what is agreed on.

    Offers are looked at in the client's order, factories of the same name in the
    server's; the first that fit make the agreement, and no extension is granted
    twice. What fits nothing is declined by leaving it out. Raises
    InvalidHeaderFormat for a field that cannot be read.
    """
    answers: list[tuple[str, list[ExtensionParameter]]] = []
    agreed: list[Agreed] = []
    for name, params in _parse(header_values):
        if _is_in(name, agreed):
            continue
        for factory in factories:
            if factory.name != name:
                continue
            try:
                answer, extension = factory.process_request_params(params, agreed)
            except NegotiationError:
                continue  # declined: the client has said that it can do without
            answers.append((name, answer))
            agreed.append(extension)
            break
    return (build_extension(answers) if answers else None), agreed


def confirm(
    header_values: Iterable[str], factories: Sequence[ClientExtensionFactory]
) -> list[Agreed]:
    """Return what the server's field agrees on, in its order.

    Raises NegotiationError for an extension that was not offered, comes twice or has
    other parameters than the offers allow, InvalidHeaderFormat for a field that
    cannot be read.
    """
    agreed: list[Agreed] = []
    for name, params in _parse(header_values):
        if _is_in(name, agreed):
            raise NegotiationError(f"duplicate extension: {excerpt(name)}")
        candidates = [factory for factory in factories if factory.name == name]
        if not candidates:
            found = excerpt(name)
            raise NegotiationError(f"unsupported extension: {found} was not offered")
        agreed.append(_confirm_one(params, candidates, agreed))
    return agreed


def _confirm_one(
    params: list[ExtensionParameter],
    candidates: Sequence[ClientExtensionFactory],
    agreed: Sequence[Agreed],
) -> Agreed:
    fault: NegotiationError | None = None
    for factory in candidates:
        try:
            return factory.process_response_params(params, agreed)
        except NegotiationError as exc:
            fault = fault or exc  # the preferred offer explains best
    assert fault is not None
    raise fault
