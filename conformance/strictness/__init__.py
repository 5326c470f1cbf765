"""What longwire accepts and refuses, beside other libraries, each with its clause.

``python -m conformance.strictness`` sends every case to servers and clients of
longwire, websockets, aiohttp and Node's ws, and prints who accepts what. ``--write``
keeps it in ``verdicts.json`` and makes the tables of ``docs/explain/strictness.md``.
"""
