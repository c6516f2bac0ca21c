"""Published collections: where versions stand, how they are copied, how they are read. Merging is stage 3's."""
