"""What the proxy's operator gives it: virtual keys without a database. The proxy itself loads this file
(``custom_auth``); the checks of budgets and rates are its own.

It also writes down every request as the proxy received it, one JSON line each.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


async def user_auth(request: Any, api_key: str) -> Any:
    """The virtual keys; None leaves every other key to the proxy."""
    from litellm.proxy._types import LiteLLM_BudgetTable, LiteLLM_EndUserTable, UserAPIKeyAuth
    from litellm.proxy.auth import auth_checks
    from litellm.proxy.proxy_server import proxy_logging_obj

    line = {"path": request.url.path, "headers": dict(request.headers), "body": await request.json()}
    with Path(os.environ["REQUESTS_FILE"]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    key = UserAPIKeyAuth(api_key=api_key, key_alias="team")
    if api_key == "sk-spent-0123456789":
        key.max_budget, key.spend = 1.0, 2.0
        await auth_checks.virtual_key_max_budget_check(key, proxy_logging_obj, None)
    elif api_key == "sk-guest-0123456789":
        guest = LiteLLM_EndUserTable(
            user_id="guest", blocked=False, spend=2.0, litellm_budget_table=LiteLLM_BudgetTable(max_budget=1.0)
        )
        await auth_checks.check_end_user_budget(guest, request.url.path)
    elif api_key == "sk-hurried-0123456789":
        key.rpm_limit = 1
    else:
        return None
    return key
