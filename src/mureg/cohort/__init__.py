"""Populations of virtual patients: settings, cases, runs over many cores, cards."""
