"""What a person sees: input files, progress, the live table, and the commands that show them."""
