"""The history's migrations, one file each; a file that was shipped is never changed, and new ones only append."""
