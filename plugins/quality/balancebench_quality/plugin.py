"""Declares what this plugin brings; what it does is imported only where it is built."""
