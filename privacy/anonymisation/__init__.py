"""Data that nobody, we included, can lead back to a person (PIPL 73): releases, statistics, and what they risk.

Whatever has a key or a kept map is pseudonymised, and is never called anonymised here. The modules that compute import
numpy, numba or duckdb themselves: importing `privacy`, the client or the manifest loads none of them.
"""
