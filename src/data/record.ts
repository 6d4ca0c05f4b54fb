/** What a data set is made of, whatever the format it was read from. */

export type Role = "system" | "user" | "assistant" | "tool";

/** One message of a conversation; templates may read its further fields (`tool_calls`, `name`, …). */
export interface Message {
  readonly role: Role;
  /** Null only where an assistant calls tools and says nothing. */
  readonly content: string | null;
  readonly [field: string]: unknown;
}

export interface MessagesContent {
  readonly kind: "messages";
  readonly messages: readonly Message[];
  /** JSON schemas of the functions that the assistant may call. */
  readonly tools?: readonly unknown[];
  /** The two halves of the last user message, where the format keeps them apart. */
  readonly task?: Task;
}

export interface Task {
  readonly instruction: string;
  readonly input: string;
}

export interface CompletionContent {
  readonly kind: "completion";
  readonly prompt: string;
  readonly completion: string;
}

export interface TextContent {
  readonly kind: "text";
  readonly text: string;
  /** True when the document goes on in the next record: no end of text is trained here. */
  readonly goesOn?: boolean;
}

export type RecordContent = MessagesContent | CompletionContent | TextContent;

/** A record with the place it comes from. */
export type TrainingRecord = RecordContent & {
  /** The file, as messages name it. */
  readonly source: string;
  /** 1-based line on which the record begins. */
  readonly line: number;
  /** A text that steers the answer and is no part of the prompt: a method with a control branch reads it. */
  readonly control?: string;
};

/** What a model is asked in a record, and the answer the record gives; undefined when nothing is asked. */
export function questionOf(record: RecordContent): { readonly question: RecordContent; readonly answer: string } | undefined {
  switch (record.kind) {
    case "messages": {
      const last = record.messages.findLastIndex((message) => message.role === "assistant" && typeof message.content === "string");
      if (last < 1) return undefined;
      return { question: { ...record, messages: record.messages.slice(0, last) }, answer: record.messages[last]!.content! };
    }
    case "completion":
      return { question: { ...record, completion: "" }, answer: record.completion };
    case "text":
      return undefined;
  }
}
