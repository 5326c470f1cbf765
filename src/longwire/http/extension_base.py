"""Base classes of extensions: what a program's own ones derive from.

RFC 6455 section 9. A factory negotiates for one side; what it agrees on changes the
frames of one connection.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

from ..messages import Deflate, Frame
from .fields import ExtensionParameter

__all__ = ["Agreed", "ClientExtensionFactory", "Extension", "ServerExtensionFactory"]


class Extension(abc.ABC):
    """What two sides agreed on: changes frames on their way in and out."""

    name: str

    @abc.abstractmethod
    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return the frame to pass on for one that came in.

        Raises PayloadTooBig when its data is larger than ``max_size`` bytes.
        """

    @abc.abstractmethod
    def encode(self, frame: Frame) -> Frame:
        """Return the frame to send for one that goes out."""


Agreed = Extension | Deflate
"""The result of a negotiation: permessage-deflate is built in, others bring code."""


class ClientExtensionFactory(abc.ABC):
    """Offers an extension and checks the server's answer."""

    name: str

    @abc.abstractmethod
    def get_request_params(self) -> Sequence[ExtensionParameter]:
        """Return the parameters to offer, as (name, value or None) pairs."""

    def get_offers(self) -> Sequence[Sequence[ExtensionParameter]]:
        """Return the offers to make, the preferred one first."""
        return [self.get_request_params()]

    @abc.abstractmethod
    def process_response_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> Agreed:
        """Return the extension for the parameters that the server answered.

        ``accepted_extensions`` came before it. Raises NegotiationError when the
        answer is not acceptable.
        """


class ServerExtensionFactory(abc.ABC):
    """Answers the offer of an extension."""

    name: str

    @abc.abstractmethod
    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Agreed],
    ) -> tuple[list[ExtensionParameter], Agreed]:
        """Return the parameters to answer and the extension for an offer.

        ``accepted_extensions`` came before it. Raises NegotiationError to decline.
        """
