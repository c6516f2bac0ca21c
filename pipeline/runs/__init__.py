"""CompactionRuns in DynamoDB: ``repository.py`` reads and writes, ``transitions.py`` decides, ``items.py`` converts."""
