"""Calls of a GitLab by a project's path: `python projects.py URL`. The token is in PATGATE_TOKEN."""
import os
import sys

import gitlab

project = gitlab.Gitlab(sys.argv[1], oauth_token=os.environ["PATGATE_TOKEN"]).projects.get("group/project")
print(project.id, project.files.get(file_path="src/main.py", ref="main").decode().decode())
