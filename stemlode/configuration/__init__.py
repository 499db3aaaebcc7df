"""Options from a file: `--config` of every verb, and `--print-config`, which writes one."""
