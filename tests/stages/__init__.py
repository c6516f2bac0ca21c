"""The stages as units: moto for S3 and DynamoDB, a recording client for SQS, because moto's FIFO queues are wrong."""
