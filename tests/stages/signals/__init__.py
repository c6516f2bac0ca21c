"""The real worker process, frozen, stopped and killed in every phase of its work."""
