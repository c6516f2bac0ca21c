"""``receipts preflight``: what an update needs of the account, and what that would refuse. It changes nothing."""
