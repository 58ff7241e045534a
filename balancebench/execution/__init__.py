"""Runs a plan: looks what is missing, asks whether all is there that it needs, and lets an executor do the rest.

It knows no terminal: whoever wants to show something hands in a reporter, or observes through the hooks.
"""
