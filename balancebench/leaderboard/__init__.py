"""Leaderboards: results read from the store or from committed records, ranked, written and compared.

    collect(plan, store) -> cells        what a store holds of a suite
    build_leaderboard(suite, cells)      the ranked tables, a data structure of its own
    write_leaderboard(folder, board)     Markdown, CSV and JSON of it
    compare_with_records(fresh, known)   what moved since somebody committed records

It knows neither torch nor the runner.
"""
