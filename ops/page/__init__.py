"""The local stack as a web page on 127.0.0.1; it only reads. ``application`` answers, ``guard`` decides whom.

What it shows is built by pure functions (``flow``, ``way``, ``found``); templates that escape every value write it.
The framework is Starlette: small, typed, it streams, and it needs anyio alone, which is here anyway, as uvicorn is.
"""
