"""The leaderboard as one HTML file that works without a network; see docs/page.md.

page_data          every field of what is embedded
contents           a leaderboard, its cells and outcomes -> those fields
image_counts       outcomes -> counts by class, and what pairs of rows need
row_curves         curves of trainings -> rows by epoch
row_identities     what its stages were made by
csv_columns        the lines of leaderboard.csv
embedded_pictures  the pictures that the page carries
whole_numbers      counts as bytes
words              marks, reasons and the legend
build              fields -> the file: blocks, hashes, template
site               a folder of leaderboards -> pages for a static host
"""
