"""The policy pack, over recorded programs and over its real protocol."""
