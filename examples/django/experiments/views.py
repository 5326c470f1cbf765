"""The page that shows notifications to who has logged in."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .tokens import make_token


@login_required
def notifications(request: HttpRequest) -> HttpResponse:
    context = {"uri": settings.WEBSOCKET_URI, "token": make_token(request.user)}
    return render(request, "notifications.html", context)
