"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

__all__: list[str] = []
