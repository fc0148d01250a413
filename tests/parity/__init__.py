"""Every method against recorded runs of its authors' code."""
