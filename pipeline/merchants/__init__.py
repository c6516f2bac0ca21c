"""Which merchant a receipt is from: by its name, else by the vote of published neighbours."""
