"""Screening: how far each transformation goes before predictions break."""
