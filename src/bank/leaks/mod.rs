//! The texts of a bank that are scanned for leaks.
