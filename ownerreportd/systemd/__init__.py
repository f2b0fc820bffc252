"""Owns the way from the program to the installed service, and back.

The folders beside this file hold the units, which are those of `deploy/systemd`.
"""
