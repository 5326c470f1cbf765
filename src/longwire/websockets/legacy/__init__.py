"""The API of the editions up to 13: protocol classes, ``(path, headers)`` hooks.

Names and signatures only: every connection is one of longwire's own.
"""
