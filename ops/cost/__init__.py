"""What a stack costs a month: list prices, the program's own settings, the work that a receipt makes."""
