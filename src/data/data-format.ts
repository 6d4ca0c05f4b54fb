/** What a data format is. */
import type { RecordContent } from "./record.ts";

export interface DataFormat {
  readonly name: string;
  /** The shape of one value, for help and error messages. */
  readonly description: string;
  /** True when a value looks like this format's; `read` checks it. */
  detect(value: unknown): boolean;
  /** The record a value holds; throws GiantError("data") naming the field, without the place: the caller knows it. */
  read(value: unknown): RecordContent;
}
