"""The example with Django and Redis, as three processes on ports of their own."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.docs.programs import program
from tests.support.commands import SECONDS, Running, environment
from tests.support.needs import needs
from tests.support.ports import free_port
from tests.websockets.snippets.harness import EXAMPLES, wait_for_port

FOLDER = EXAMPLES / "django"
PASSWORD = "correct horse battery staple"
USERS = """
from django.contrib.auth.models import Permission, User
User.objects.create_superuser("ada", password=PASSWORD)
for name, codename in (("bob", "view_group"), ("eve", "view_user")):
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=codename))
"""


class Site:
    """Where everything is; ``environ`` is what its processes are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.redis_port = free_port()
        self.websocket_port = free_port()
        self.url = f"http://localhost:{self.port}/"
        self.uri = f"ws://localhost:{self.websocket_port}/"
        self.environ = {
            "DATABASE": str(folder / "db.sqlite3"),
            "REDIS_PORT": str(self.redis_port),
            "WEBSOCKET_URI": self.uri,
            "PORT": str(self.websocket_port),
            "SECRET_KEY": "of the tests",
        }

    def manage(self, *arguments: str) -> None:
        """Run a command of Django's to its end."""
        done = subprocess.run(
            [sys.executable, str(FOLDER / "manage.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * SECONDS,
            env=environment(**self.environ),
        )
        assert done.returncode == 0, done.stdout

    @contextlib.contextmanager
    def websockets(self, name: str) -> Iterator[Running]:
        """One of the two WebSocket servers."""
        with program(FOLDER / name, **self.environ) as running:
            wait_for_port(self.websocket_port, running)
            yield running

    @contextlib.contextmanager
    def redis(self) -> Iterator[None]:
        """A Redis that keeps nothing."""
        command = [needs("redis-server"), "--port", str(self.redis_port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        running = Running(process)
        try:
            wait_for_port(self.redis_port, running)
            yield
        finally:
            process.terminate()
            running.wait()
            process.stdout.close()  # type: ignore[union-attr]


@contextlib.contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Redis and Django's own server, with a database of three users."""
    needs("django")
    needs("redis")
    site = Site(folder)
    with site.redis():
        site.manage("migrate", "--verbosity", "0")
        site.manage("shell", "--command", f"PASSWORD = {PASSWORD!r}{USERS}")
        address = f"localhost:{site.port}"
        with program(
            FOLDER / "manage.py", "runserver", "--noreload", address, **site.environ
        ) as running:
            wait_for_port(site.port, running)
            yield site


class Visitor:
    """Somebody who has logged in, with the cookies of a browser."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._cookies = http.cookiejar.CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self._cookies)
        self._opener = urllib.request.build_opener(cookies)
        self.page = self.post(
            "admin/login/?next=/", username=name, password=PASSWORD, next="/"
        )

    def token(self) -> str:
        """The token in the page of notifications, made now."""
        page = self._get("")
        found = re.search(r'<script id="token" [^>]*>(.*?)</script>', page)
        assert found, page
        token: str = json.loads(found[1])
        return token

    def post(self, path: str, **fields: str) -> str:
        """Fill in and send the form at ``path``; return the page it leads to."""
        self._get(path)
        token = next(c.value for c in self._cookies if c.name == "csrftoken")
        fields["csrfmiddlewaretoken"] = token or ""
        return self._get(path, urllib.parse.urlencode(fields).encode())

    def _get(self, path: str, data: bytes | None = None) -> str:
        with self._opener.open(self._site.url + path, data, timeout=SECONDS) as answer:
            return str(answer.read(), "utf-8")
