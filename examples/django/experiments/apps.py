"""Connects signals.py when Django starts."""

from importlib import import_module

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "experiments"

    def ready(self) -> None:
        import_module("experiments.signals")
