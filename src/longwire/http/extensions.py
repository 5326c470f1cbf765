"""Extensions: how they are offered, granted and confirmed (RFC 6455 section 9).

Knows the order of things: who chooses what, and that nothing is agreed on twice. What
an extension's parameters mean is decided by its factories; those of permessage-deflate
are in ``permessage_deflate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import NegotiationError
from ..escaping import excerpt
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
    "confirm",
    "grant",
    "offer",
]


def offer(factories: Iterable[ClientExtensionFactory]) -> str | None:
    """Return the Sec-WebSocket-Extensions field of a request; None to send none."""
    offers = [
        (factory.name, params)
        for factory in factories
        for params in factory.get_offers()
    ]
    return build_extension(offers) if offers else None


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
        if any(name == extension.name for extension in agreed):
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
        if any(name == extension.name for extension in agreed):
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
