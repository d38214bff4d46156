/**
 * `createScalixProvider`: the sidecar as a provider of the AI SDK, for every place where the app calls `streamText`,
 * `generateText` or `generateObject` by itself.
 */

import type { SidecarClient } from "../client.js";
import { RequestFailed, SidecarUnavailable } from "../errors.js";
import type { ModelRef } from "../generated.js";
import { ModelCalls } from "./calls.js";
import { collected } from "./collect.js";
import { ModelCallFailed, NoSuchModel } from "./errors.js";
import { parseModelId } from "./request.js";
import { V2, V3, type Shape } from "./shapes.js";
import type { CallOptions, LanguageModel, LegacyModel, SpecificationVersion } from "./specification.js";

/** How to serve models. */
export interface ScalixProviderOptions<Version extends SpecificationVersion = SpecificationVersion> {
  /** The AI SDK's interface: `v2` for `ai` 5 (the default), `v3` for `ai` 6 and 7. */
  readonly specificationVersion?: Version;
  /** The app's own switch, asked at each call; on by default. The sidecar's own switches count as well. */
  readonly enabled?: () => boolean;
  /**
   * The app's own model of the same name. It answers when the sidecar is switched off, not rolled out to this user, or
   * not running: nothing has been asked of a provider then.
   */
  readonly legacy?: (model: ModelRef) => LegacyModel | undefined;
}

/** Gives models by `provider/name`, or by provider and name. */
export interface ScalixProvider<Version extends SpecificationVersion> {
  (model: string | ModelRef): LanguageModel<Version>;
  readonly specificationVersion: Version;
  /** The same as calling it. */
  languageModel(model: string | ModelRef): LanguageModel<Version>;
  /** @throws NoSuchModel: the sidecar serves language models. */
  embeddingModel(modelId: string): never;
  /** @throws NoSuchModel */
  textEmbeddingModel(modelId: string): never;
  /** @throws NoSuchModel */
  imageModel(modelId: string): never;
}

/** Models of the AI SDK that the sidecar serves: `streamText({ model: scalix("anthropic/claude-sonnet-4-20250514") })`. */
export function createScalixProvider(client: SidecarClient, options?: ScalixProviderOptions<"v2">): ScalixProvider<"v2">;
export function createScalixProvider(
  client: SidecarClient,
  options: ScalixProviderOptions<"v3"> & { readonly specificationVersion: "v3" },
): ScalixProvider<"v3">;
export function createScalixProvider(
  client: SidecarClient,
  options: ScalixProviderOptions = {},
): ScalixProvider<"v2"> | ScalixProvider<"v3"> {
  const calls = new ModelCalls(client);
  return options.specificationVersion === "v3" ? provider(calls, options, V3) : provider(calls, options, V2);
}

function provider<Version extends SpecificationVersion>(
  calls: ModelCalls,
  options: ScalixProviderOptions,
  shape: Shape<Version>,
): ScalixProvider<Version> {
  const languageModel = (model: string | ModelRef): LanguageModel<Version> =>
    new SidecarModel(calls, options, shape, typeof model === "string" ? parseModelId(model) : model);
  const none = (kind: "embeddingModel" | "textEmbeddingModel" | "imageModel") => (modelId: string): never => {
    throw new NoSuchModel(modelId, kind);
  };
  return Object.assign((model: string | ModelRef) => languageModel(model), {
    specificationVersion: shape.version,
    languageModel,
    embeddingModel: none("embeddingModel"),
    textEmbeddingModel: none("textEmbeddingModel"),
    imageModel: none("imageModel"),
  });
}

class SidecarModel<Version extends SpecificationVersion> implements LanguageModel<Version> {
  readonly specificationVersion: Version;
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls = {};

  constructor(
    private readonly calls: ModelCalls,
    private readonly options: ScalixProviderOptions,
    private readonly shape: Shape<Version>,
    private readonly model: ModelRef,
  ) {
    this.specificationVersion = shape.version;
    this.provider = `scalix.${model.provider}`;
    this.modelId = `${model.provider}/${model.name}`;
  }

  doStream(options: CallOptions): ReturnType<LanguageModel<Version>["doStream"]> {
    return this.#served(
      () => this.calls.start(this.model, options, this.shape),
      (legacy) => legacy.doStream(options as never),
    );
  }

  doGenerate(options: CallOptions): ReturnType<LanguageModel<Version>["doGenerate"]> {
    return this.#served(
      async () => {
        const { stream, request } = await this.calls.start(this.model, options, this.shape);
        return { ...(await collected(stream)), request };
      },
      (legacy) => legacy.doGenerate(options as never),
    );
  }

  /** By the sidecar, or by the app's own model when the sidecar is not to be asked. */
  async #served<Result>(
    bySidecar: () => Promise<Result>,
    byLegacy: (legacy: LegacyModel) => PromiseLike<unknown>,
  ): Promise<Result> {
    const legacy = this.options.legacy?.(this.model);
    if (legacy === undefined) return bySidecar();
    if (this.options.enabled?.() === false) return (await byLegacy(legacy)) as Result;
    try {
      return await bySidecar();
    } catch (error) {
      if (isNotToBeAsked(error)) return (await byLegacy(legacy)) as Result;
      throw error;
    }
  }
}

function isNotToBeAsked(error: unknown): boolean {
  const cause = error instanceof ModelCallFailed ? error.cause : undefined;
  return cause instanceof SidecarUnavailable || (cause instanceof RequestFailed && cause.isFeatureDisabled);
}
