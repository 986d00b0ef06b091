"""Model folders on disk: the workspace, what a folder holds, publishing, versions, variants, base models."""
