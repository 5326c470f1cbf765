"""The runner of conformance/dependents, and the alias it runs packages with."""
