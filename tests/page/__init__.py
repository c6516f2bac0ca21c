"""The local page, by its ASGI application and in a browser."""
