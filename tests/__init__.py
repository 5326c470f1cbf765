"""Tests; helpers are in tests.support."""
