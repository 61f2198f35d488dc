"""Writes sessions in formats of other programs, one file each: `Format.write` calls them."""
