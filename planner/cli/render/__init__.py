"""Domain structs as text on a terminal: tables, bars and sentences, readable without colour."""
