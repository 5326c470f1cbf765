"""A Django site in one file: python shop.py runserver 8000"""

import sys
import time

from django.conf import settings

settings.configure(
    DEBUG=True,
    SECRET_KEY="of this example",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from topics import make_hub, tokens

from longwire.hub import Publisher

publisher = Publisher(make_hub)


def token(request: HttpRequest, user: str) -> JsonResponse:
    """What the user's page subscribes with; a real site takes request.user."""
    made = tokens.make(user, f"orders:{user}", now=time.time(), expires=300)
    return JsonResponse({"token": made})


@csrf_exempt
def pay(request: HttpRequest, user: str, number: int) -> JsonResponse:
    """Pay an order, and tell the user's pages when that is certain."""
    with transaction.atomic():
        # Here the order is changed in the database.
        transaction.on_commit(lambda: told(user, number))
        if number == 0:
            raise ValueError("there is no such order")  # nobody is told
    return JsonResponse({"paid": number})


def told(user: str, number: int) -> None:
    # With an id the view may be run again: the message is stored once.
    publisher.publish(f"orders:{user}", {"paid": number}, id=f"paid-{number}")


urlpatterns = [
    path("users/<user>/token", token),
    path("users/<user>/orders/<int:number>/pay", pay),
]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
