"""The ground that every room stands on: the command line, files, runs, tables, schemas."""
