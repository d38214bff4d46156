"""The host as chat and settings see it: what it announced, and a way to ask it."""

from __future__ import annotations

from typing import Any

from protocol.lifecycle import HostCapabilities
from sidecar.errors import SidecarError
from sidecar.rpc.host import HostLink
from sidecar.settings.secrets import Ask, SecretsBridge


class HostSide:
    """One host. ``capabilities`` are what it announced at ``initialize``; before that, none."""

    def __init__(self, link: HostLink) -> None:
        self._link = link
        self.capabilities = HostCapabilities()

    def offers(self, capability: str) -> bool:
        """Whether the host announced ``systemPrompt``, ``applyResponse``, ``checkProblems`` or ``secrets``."""
        offered = self.capabilities
        return {
            "systemPrompt": offered.system_prompt,
            "applyResponse": offered.apply_response,
            "checkProblems": offered.check_problems,
            "secrets": offered.secrets,
        }[capability]

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """Ask the host. Raises ``SidecarError``."""
        return await self._link.request(method, params)

    def secrets_bridge(self) -> SecretsBridge | None:
        """The host's two questions about secrets, when it answers them."""
        if not self.capabilities.secrets:
            return None
        return SecretsBridge(
            decrypt=self._about_secrets("host:decrypt-secrets"), encrypt=self._about_secrets("host:encrypt-secrets")
        )

    def _about_secrets(self, method: str) -> Ask:
        async def ask(secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
            result = await self._link.request(method, {"secrets": secrets})
            answers = result.get("secrets") if isinstance(result, dict) else None
            if not isinstance(answers, list):
                raise SidecarError(f"The app's answer to {method} was not understood.")
            return answers

        return ask
