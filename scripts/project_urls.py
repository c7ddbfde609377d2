"""Adds the project's pages to the metadata of a package that a workflow of GitHub builds.

Elsewhere nobody knows where the project lives, and a package says nothing of it.
"""

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ProjectUrls(MetadataHookInterface):
    """Called by hatchling, of which it is a plug-in."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Name the repository in which this runs, and its pages."""
        repository = os.environ.get("GITHUB_REPOSITORY")
        if repository:
            home = f"https://github.com/{repository}"
            metadata["urls"] = {
                "Source": home,
                "Documentation": f"{home}/blob/HEAD/docs/index.md",
                "Changelog": f"{home}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{home}/issues",
                "Security": f"{home}/security/policy",
            }
