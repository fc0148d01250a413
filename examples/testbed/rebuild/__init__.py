"""Rebuilds the testbed from the registries' packages; nobody needs it to use the testbed."""
