"""The version of the package, in a file that every module can import."""

__version__ = "0.1.0"
