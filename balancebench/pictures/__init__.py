"""Pictures of a suite's results, drawn from the store and shown in its leaderboard.

    write_pictures(plan, store, folder, board)      draws what is new or changed and writes the manifest

One module a kind of picture: it says what there is to draw (cheap: records alone are read), and draws it. altair and
Pillow are imported when the first picture is drawn, never before.
"""
