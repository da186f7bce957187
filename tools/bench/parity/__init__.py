"""The kinds of parity fixtures, one module each; every module has `cases(folder)` over a folder laid out like
shared/parity and yields nothing where its fixtures are missing.
"""
