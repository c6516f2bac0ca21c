"""Tests of stage 3: the stream processor, the merge and what it publishes."""
