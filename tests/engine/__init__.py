"""The real Pulumi engine. These tests run wherever the Pulumi CLI is found, and are skipped elsewhere."""
