// Requests to the server, and its errors.

let token = sessionStorage.getItem("token") ?? "";

export function setToken(value) {
  token = value;
  sessionStorage.setItem("token", value);
}

export class ServerError extends Error {
  constructor(error, status) {
    super(error?.message ?? `The server answered with status ${status}.`);
    this.status = status;
  }
}

export async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError({ message: "The server can't be reached. Is it still running?" }, 0);
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new ServerError(body.error, response.status);
  }
  return response;
}

export const get = async (path) => (await request(path)).json();

export function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return request(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

// Server-sent events of a POST request, which EventSource can't make.
export async function* events(path, body, signal) {
  const response = await post(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new ServerError(data.error, 200);
      yield [fields.event, data];
    }
  }
}
