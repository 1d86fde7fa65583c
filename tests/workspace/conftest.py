from tests.workspace.fixtures import data_dir, data_template, settings, workspace

__all__ = ["data_dir", "data_template", "settings", "workspace"]
