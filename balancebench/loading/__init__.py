"""What datasets of image files share: listing, decoding, holding out; for plugins too."""
