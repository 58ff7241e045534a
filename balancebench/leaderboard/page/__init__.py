"""The leaderboard as one HTML file that works without a network; see docs/page.md.

page_data      every field of what is embedded
contents       a leaderboard, its cells and outcomes -> those fields
image_counts   outcomes -> counts by class, and what pairs of rows need
whole_numbers  those counts as bytes
words          marks, reasons and the legend
build          fields -> the file: blocks, hashes, template
site           a folder of leaderboards -> pages for a static host
"""
