"""What each stage leaves on disk: one module a stage, with the type of what lies in the step's folder.

Every type has `write(folder)` and `read(store, key)`. The names of files stand in these modules and nowhere else.
"""
