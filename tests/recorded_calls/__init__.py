"""What a recorded process loads when it starts; see ``sitecustomize``."""
