"""A model of the stack under load: events for what waits, formulas for what saturates, quotas for what stops."""
