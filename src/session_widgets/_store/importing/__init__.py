"""Imports transcripts of other programs: files to raw records and derived rows."""
