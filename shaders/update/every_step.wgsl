fn is_skipped() -> bool { return false; }
