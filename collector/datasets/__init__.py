"""Data sets for fine-tuning: reviewed exchanges in the shapes that trainers read, with a manifest."""
