"""Recipes that make the files under ``detectors/heads``. Not shipped, never needed at run time."""
