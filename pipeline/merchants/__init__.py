"""Which merchant a receipt is of: by its name, else by the vote of published neighbours."""
