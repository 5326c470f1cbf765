"""A network namespace for one server, whose only link can be taken down.

What is sent meanwhile is lost without a word, as where a cable is pulled: no reset, no
end of a stream. Needs the rights to make namespaces, which root has.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

__all__ = ["Namespace", "namespace"]

_numbers = itertools.count()


class Namespace:
    """``command`` runs a program in it, ``address`` is where that listens."""

    def __init__(self, name: str, link: str, subnet: str) -> None:
        self.name = name
        self.link = link
        self.command = ("ip", "netns", "exec", name)
        self.here, self.address = f"{subnet}.1", f"{subnet}.2"

    def make(self) -> None:
        inner = f"{self.link}i"
        ip("netns", "add", self.name)
        ip("link", "add", self.link, "type", "veth", "peer", inner, "netns", self.name)
        ip("addr", "add", f"{self.here}/24", "dev", self.link)
        ip("link", "set", self.link, "up")
        for arguments in (
            ("addr", "add", f"{self.address}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", self.name, *arguments)

    def remove(self) -> None:
        for arguments in (("link", "del", self.link), ("netns", "del", self.name)):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip(*arguments)

    def cut(self) -> None:
        """Lose all that either side sends from now on."""
        ip("-n", self.name, "link", "set", f"{self.link}i", "down")

    def join(self) -> None:
        """Let both sides hear each other again."""
        ip("-n", self.name, "link", "set", f"{self.link}i", "up")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace; skip the test where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("needs ip, of iproute2")
    number = os.getpid() % 10_000 * 10 + next(_numbers) % 10
    # 198.18.0.0/15 is for tests of networks (RFC 2544): nobody is reached by it.
    subnet = f"198.{18 + number // 256 % 2}.{number % 256}"
    made = Namespace(f"longwire-{number}", f"lw{number}", subnet)
    try:
        made.make()
    except subprocess.CalledProcessError as exc:
        made.remove()
        pytest.skip(f"needs network namespaces: {exc.stderr.decode().strip()}")
    try:
        yield made
    finally:
        made.remove()
