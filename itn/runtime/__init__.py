"""Errors, several processes, the run folder, progress, tables, records."""
