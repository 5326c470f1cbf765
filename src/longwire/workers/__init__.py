"""Workers: one program in several processes, on one port, under a supervisor.

``longwire serve module:app --workers 4`` runs it. ``supervisor.py`` starts, watches,
replaces and ends the processes; ``worker.py`` is what runs in each of them; ``apps.py``
finds what they serve. :class:`App` is for programs that need more than a handler.
"""

from .apps import App

__all__ = ["App"]
