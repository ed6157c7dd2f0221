/** What a task answers. `label` and `probabilities` are those of a classification. */
export interface Answer {
  text: string;
  label?: string;
  probabilities?: Record<string, number>;
  ids?: number[];
  finishReason?: "stop" | "length" | "sentence" | "context";
}

export interface LoadOptions {
  /** File of the weights: fp32, fp16, q8 (model_quantized.onnx), q4, as far as the bundle has it. By default what task.json
   * names. */
  dtype?: string;
  /** cpu in Node; wasm or webgpu in a browser. */
  device?: string;
  /** Progress of the download, as transformers.js reports it. */
  progress?: (event: Record<string, unknown>) => void;
}

export interface RunOptions {
  /** Receives the text as it is written. */
  onText?: (piece: string) => void;
  signal?: AbortSignal;
}

/** One golden input and how the answer compares with the recorded one. */
export interface Check {
  text: string;
  same: boolean;
  detail: string;
}

export interface Task {
  (text: string, options?: RunOptions): Promise<Answer>;
  /** The contents of task.json, with what is different for the chosen file. */
  readonly spec: Record<string, any>;
  /** Runs the golden inputs of task.json. */
  check(): Promise<Check[]>;
}

/** Load a task that `nlpsuite export --task` wrote: a directory in Node, a URL or a Hub name in a browser. */
export function loadTask(where: string, options?: LoadOptions): Promise<Task>;

/** What transformers.js calls the precisions of task.json. */
export const DTYPES: Record<string, string>;
