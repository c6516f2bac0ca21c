"""The shapes that cross a process boundary, version 1: pure types and functions, no AWS client, no Chroma.

Readers tolerate unknown fields and refuse an unknown major version.
"""
