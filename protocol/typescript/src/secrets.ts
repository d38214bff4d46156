/** Electron's safeStorage as the keeper of the sidecar's secrets (protocol page 7, app contract 14). */

import type { DecryptSecretsResult, EncryptSecretsResult, LockedSecret, OpenedSecret, PlainSecret } from "./generated.js";
import type { HostHandlers } from "./client-options.js";

/** The part of Electron's `safeStorage` that is used. */
export interface SafeStorageLike {
  isEncryptionAvailable(): boolean;
  encryptString(plainText: string): Buffer;
  decryptString(encrypted: Buffer): string;
}

/** Handlers of `host:decrypt-secrets` and `host:encrypt-secrets`. Nothing is logged or kept. */
export function safeStorageSecrets(
  safeStorage: SafeStorageLike,
): Required<Pick<HostHandlers, "host:decrypt-secrets" | "host:encrypt-secrets">> {
  return {
    "host:decrypt-secrets": ({ secrets }): DecryptSecretsResult => ({
      secrets: secrets.map((secret) => open(safeStorage, secret)),
    }),
    "host:encrypt-secrets": ({ secrets }): EncryptSecretsResult => ({
      secrets: secrets.map((secret) => lock(safeStorage, secret)),
    }),
  };
}

function open(safeStorage: SafeStorageLike, { id, value, encryptionType }: LockedSecret): OpenedSecret {
  if (encryptionType === "plaintext") return { id, plaintext: value };
  try {
    return { id, plaintext: safeStorage.decryptString(Buffer.from(value, "base64")) };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

function lock(safeStorage: SafeStorageLike, { id, plaintext }: PlainSecret): LockedSecret {
  if (!safeStorage.isEncryptionAvailable()) return { id, value: plaintext, encryptionType: "plaintext" };
  const value = safeStorage.encryptString(plaintext).toString("base64");
  return { id, value, encryptionType: "electron-safe-storage" };
}
