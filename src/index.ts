/** The public surface of mini-giants: what a program needs to open, tune, merge, tokenise and speak with a model. */

/** Tuning: an async generator of events; the run folder it leaves is the one that `mini-giants tune` leaves. */
export { tune } from "./train/tune.ts";
export type { RunOutcome } from "./train/conduct.ts";
export { nodePlatform } from "./train/node-platform.ts";
export type { TuneOptions } from "./train/tune-options.ts";
export type { RunPlatform } from "./train/run-subject.ts";
export type { DataSummary, FinishReason, RecordedEvent, Sample, SamplePair, TrainEvent } from "./train/events.ts";
export type { Measured, Report } from "./train/report.ts";
export type { MemoryParts } from "./plan/memory-parts.ts";

/** Writing in one call: a text that is continued, or a conversation; each opens what it needs. */
export { complete } from "./generate/complete.ts";
export { Conversation } from "./generate/conversation.ts";
export type { ChatOptions, GenerateOptions } from "./generate/generate-options.ts";

/** Writing with what is open already: one engine, one base in memory, any number of adapters. */
export { AdapterHost, type AdapterSelection, type SelectedAdapter } from "./generate/adapter-host.ts";
export { openWriter, type WriteOptions, type Writer, type Written } from "./generate/writer.ts";
export type { SamplingOptions } from "./generate/sampler.ts";
export { startEngine } from "./runtime/worker-engine.ts";
export type { DeviceName, Engine, EngineOptions } from "./runtime/engine.ts";

/** Models: a folder in Hugging Face's layout, checked without loading its weights. */
export { openModel, type OpenModel } from "./workbench/open-model.ts";
export { supportedModelTypes } from "./models/registry.ts";
export type { Architecture } from "./models/architecture.ts";

/** Adapters: folders in PEFT's layout, and their merging into a base. */
export { loadAdapter } from "./workbench/load-adapter.ts";
export type { LoadedAdapter } from "./workbench/adapter.ts";
export { mergeFolders, type MergeOptions } from "./workbench/merge-folders.ts";

/** Tokens and chat templates: of a model's folder, or from parsed tokenizer files. */
export { openTokenizer } from "./workbench/open-tokenizer.ts";
export { createTokenizer, type DecodeOptions, type EncodeOptions, type Tokenizer, type TokenizerFiles } from "./tokenize/tokenizer.ts";
export type { ChatMessage, ChatTemplate, RenderOptions } from "./tokenize/chat-template.ts";

/** Data: files of training examples as records. */
export { loadRecords, type LoadedRecords } from "./io/records.ts";
export type { Message, RecordContent, TrainingRecord } from "./data/record.ts";

/** Files of tensors. */
export { readSafetensorsHeader, readTensor, type SafetensorsFile, type TensorEntry } from "./io/safetensors.ts";
export { writeSafetensors, type TensorToWrite } from "./io/safetensors-writer.ts";
export type { Dtype, HostTensor } from "./core/dtype.ts";

/** The machine: devices, memory, versions, and how to get what is missing. */
export { examine, formatDoctor, type DoctorReport } from "./runtime/doctor.ts";

/** Errors: the only class that is thrown, and the exit code a program should end with. */
export { exitCodeOf, GiantError, type GiantErrorCode } from "./base/errors.ts";
