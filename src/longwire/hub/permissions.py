"""Permissions: who may subscribe to a topic, or publish to it, and for how long.

A rule is a word or a function. What is not expressly allowed is refused. Times are
seconds of the loop's clock, but for those in tokens.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ..rpc.errors import NotAuthorised
from .tokens import Claims, Tokens
from .topics import Declaration, Rule

__all__ = [
    "ALL_BUT_PUB",
    "EVERYBODY",
    "Access",
    "Context",
    "Grant",
    "Permissions",
    "User",
]

ALL_BUT_PUB = frozenset({"sub", "presence"})
"""What a subscriber without a token may do; rules say whether it may publish."""


class User(NamedTuple):
    """Who a connection belongs to, as ``Hub(identify=...)`` says.

    ``info`` is shown to others where the user is present; at most 1 KiB as JSON.
    """

    id: str
    info: Any = None


class Grant(NamedTuple):
    """A permission, as a rule that is a function may return it.

    ``expires`` is in seconds from now, None for never. ``info`` is shown to others
    where the user is present, instead of the user's own.
    """

    expires: float | None = None
    info: Any = None


class Context:
    """What a rule that is a function is asked about."""

    __slots__ = ("params", "peer", "topic", "user")

    def __init__(
        self, peer: Any, user: User | None, topic: str, params: Mapping[str, str]
    ) -> None:
        self.peer = peer
        """The peer that calls."""
        self.user = user
        """Who it was identified as, None if as nobody."""
        self.topic = topic
        self.params = params
        """The parameters in the topic's name."""


class Access:
    """What one connection may do on one topic."""

    __slots__ = ("by_token", "expires", "info", "may", "told", "user")

    def __init__(
        self,
        user: str | None,
        may: frozenset[str],
        expires: float = math.inf,
        info: Any = None,
        *,
        by_token: bool = False,
    ) -> None:
        self.user = user
        """The id of the user, by the token where the connection has none."""
        self.may = may
        self.expires = expires
        """When it ends, by the loop's clock."""
        self.info = info
        self.by_token = by_token
        self.told = False
        """Whether the client was told that it is about to end."""

    def or_same(self, other: Access) -> Access:
        """Return ``other`` if it says the same for ever: one object does for many."""
        if (
            self.expires == other.expires == math.inf
            and (self.user, self.may, self.by_token)
            == (
                other.user,
                other.may,
                other.by_token,
            )
            and self.info is other.info
        ):
            return other
        return self


EVERYBODY = Access(None, ALL_BUT_PUB)
"""What those have whom nobody knows, where anyone may subscribe."""


class Permissions:
    """Evaluates the rules of declarations.

    ``tokens`` checks tokens, None if there are none. ``clock`` is the time of day.
    """

    def __init__(self, tokens: Tokens | None, clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._clock = clock

    async def may_subscribe(
        self, declaration: Declaration, context: Context, token: str | None, now: float
    ) -> Access:
        """Return what a peer may do that wants to subscribe; raises NotAuthorised."""
        user = None if context.user is None else context.user.id
        info = None if context.user is None else context.user.info
        may, expires = ALL_BUT_PUB, math.inf
        claims = None
        if token is not None:
            claims, expires = self._claims(token, context.topic, now)
            if claims.user is not None and user not in (None, claims.user):
                raise NotAuthorised("the token is another user's")
            user = claims.user if user is None else user
            info = info if claims.info is None else claims.info
            may = claims.may
        rule = declaration.subscribe
        grant = await self._evaluate(rule, "sub", context, user, may if claims else ())
        if grant.info is not None:
            info = grant.info
        if grant.expires is not None:
            expires = min(expires, now + grant.expires)
        may = may if "sub" in may else may | {"sub"}
        return Access(user, may, expires, info, by_token=claims is not None)

    async def may_publish(
        self, declaration: Declaration, context: Context, access: Access | None
    ) -> None:
        """Raise NotAuthorised unless a peer may publish.

        Where that takes a token, it is the one of its subscription: ``access``.
        """
        rule = declaration.publish
        user = None if context.user is None else context.user.id
        may: Collection[str] = ()
        if access is not None and access.by_token:
            may = access.may
            if user is None and "pub" in may:
                user = access.user  # a token's user may no more than the token
        await self._evaluate(rule, "pub", context, user, may)

    def _claims(self, token: str, topic: str, now: float) -> tuple[Claims, float]:
        """Return what a token says that is for this topic, and until when."""
        if self._tokens is None:
            raise NotAuthorised("tokens are not taken here")
        today = self._clock()
        claims = self._tokens.check(token, today)
        if not claims.names(topic):
            raise NotAuthorised("the token is for other topics")
        # From here on the loop's clock counts: the time of day may be set.
        return claims, now + (claims.expires - today)

    async def _evaluate(
        self,
        rule: Rule,
        right: str,
        context: Context,
        user: str | None,
        may: Collection[str],
    ) -> Grant:
        """Return what a rule grants to ``user``, whose token has the rights ``may``."""
        allowed = False
        if callable(rule):
            answer = rule(context)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, Grant):
                return _checked(answer)
            # True itself: whatever else is returned was not meant as a permission.
            allowed = answer is True
        elif rule == "anyone":
            allowed = True
        elif rule == "user":
            allowed = user is not None
        elif rule == "own":
            allowed = user is not None and user == context.params.get("user")
        elif rule == "token":
            allowed = right in may
        if not allowed:
            # The name of a topic that is declared: checked, and the peer's own word.
            verb = "publish on" if right == "pub" else "subscribe to"
            raise NotAuthorised(f"not authorised to {verb} {context.topic!r}")
        return _EVERYTHING


_EVERYTHING = Grant()


def _checked(grant: Grant) -> Grant:
    expires = grant.expires
    if expires is not None:
        if isinstance(expires, bool) or not isinstance(expires, (int, float)):
            kind = type(expires).__name__
            raise TypeError(f"Grant(expires=) must be seconds or None, not {kind}")
        if not expires > 0:
            raise NotAuthorised("not authorised any more")
    return grant
