"""Once: the lock under which is made what there is one of, at its first use.

Connections may be looked at from any thread, so whatever is made at the first look is
made under this lock and published when it is whole. Look first without it::

    if self._id is None:
        with MAKING:
            if self._id is None:
                self._id = uuid.uuid4()
"""

from __future__ import annotations

import os
import threading

__all__ = ["MAKING"]

MAKING = threading.RLock()

if hasattr(os, "register_at_fork"):
    # Taken before a fork: no child begins with the lock of a thread that it lacks.
    os.register_at_fork(
        before=MAKING.acquire,
        after_in_parent=MAKING.release,
        after_in_child=MAKING.release,
    )
