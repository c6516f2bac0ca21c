"""Published collections: where versions are, how they are copied, how they are read. Merging is stage 3's."""
