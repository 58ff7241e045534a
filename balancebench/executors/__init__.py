"""Where steps run: in this process (`inline`), or in worker processes of this machine (`local`)."""
