"""Runtime code that the stages share. It knows AWS's data services and nothing of Pulumi or of which host runs it."""
