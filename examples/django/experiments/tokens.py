"""Tokens that say who a page was made for, signed with the site's secret key.

A WebSocket server elsewhere does not get Django's session cookie, so the page sends it
a token as its first message.
"""

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing

SALT = "experiments.websockets"


def make_token(user: User) -> str:
    """Return a token for ``user``, good for `settings.TOKEN_SECONDS`."""
    return str(signing.dumps(user.pk, salt=SALT))


def get_user(token: str) -> User | None:
    """Return whom a token was made for; None if it is forged, old, or the user gone."""
    try:
        pk = signing.loads(token, salt=SALT, max_age=settings.TOKEN_SECONDS)
    except signing.BadSignature:  # SignatureExpired is one, too
        return None
    return User.objects.filter(pk=pk, is_active=True).first()
