"""Switching the consumer: who is on, when, and with which rights."""
