"""What several dialects write into their requests."""

from __future__ import annotations

from sidecar.engines.members import JSON_ONLY, json_instruction, snake_case


def test_a_vendor_without_a_json_mode_is_told_what_to_answer_with() -> None:
    assert json_instruction(None) is None
    assert json_instruction({"type": "text"}) is None
    assert json_instruction({"type": "json"}) == JSON_ONLY
    with_schema = json_instruction({"type": "json", "schema": {"type": "object"}})
    assert with_schema == f'{JSON_ONLY} It must be valid against this JSON Schema: {{"type":"object"}}'


def test_the_ai_sdks_names_become_the_vendors_at_every_depth() -> None:
    options = {"parallelToolCalls": False, "user": None, "logitBias": {"tokenOne": [{"keepMe": 1}]}}
    assert snake_case(options) == {"parallel_tool_calls": False, "logit_bias": {"token_one": [{"keepMe": 1}]}}
