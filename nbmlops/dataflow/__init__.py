"""What a cell defines and reads, and which definition reaches which read."""
