"""The whole thread on the local stack: real queues, stream, functions and workers. A failure here is an outage."""
