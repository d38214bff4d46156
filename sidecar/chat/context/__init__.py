"""The code base as a model sees it: which files, whose content, in what order, in what format (app contract 11, 12).

``walk`` lists, ``ignore`` and ``globs`` choose, ``cache`` reads, ``format`` shows, ``virtual`` lays an unapplied
answer over it, ``codebase`` puts it together on a worker thread. ``paths`` guards every path that comes from outside.
"""

from sidecar.chat.context.ai_rules import AiRules, read_ai_rules
from sidecar.chat.context.cache import FileCache
from sidecar.chat.context.codebase import Codebase, CodebaseReading, begin_codebase, provided_codebase
from sidecar.chat.context.components import (
    SelectedComponent,
    check_components,
    component_text,
    read_snippets,
    snippet_notes,
)
from sidecar.chat.context.mentions import mentioned_apps, referenced_app_section
from sidecar.chat.context.paths import app_directory, confined, relative_path
from sidecar.chat.context.rule import ContextRule, parse_context_rule
from sidecar.chat.context.virtual import VirtualFiles
from sidecar.chat.context.walk import Limits

__all__ = [
    "AiRules",
    "Codebase",
    "CodebaseReading",
    "ContextRule",
    "FileCache",
    "Limits",
    "SelectedComponent",
    "VirtualFiles",
    "app_directory",
    "begin_codebase",
    "check_components",
    "component_text",
    "confined",
    "mentioned_apps",
    "parse_context_rule",
    "provided_codebase",
    "read_ai_rules",
    "read_snippets",
    "referenced_app_section",
    "relative_path",
    "snippet_notes",
]
