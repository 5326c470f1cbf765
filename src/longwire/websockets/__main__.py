"""``python -m longwire.websockets``: the interactive client."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
