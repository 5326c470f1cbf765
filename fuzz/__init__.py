"""Fuzzing: what must hold for any bytes, and drivers that look for ones that break it.

``targets/`` state contracts, ``seeds.py`` is where mutation begins, ``found/`` is what
broke a contract once. docs/explain/safety.md tells how to run it.
"""
