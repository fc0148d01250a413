"""Rebuild the testbed from the registries' packages; not needed to use the testbed."""
