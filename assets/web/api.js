// What the server is asked. Every request brings the token; a cookie stands in for it only where a browser opens a link.

let token = "";

// Why the server did not do it.
export class Refused extends Error {
  constructor(status, detail, after) {
    super(detail);
    this.status = status;
    this.after = after;
  }
}

export const isToken = text => /^[\x21-\x7e]{16,}$/.test(text);
export const use = text => { token = text; };
export const bearer = () => `Bearer ${token}`;

export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  headers.set("authorization", bearer());
  const answer = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    const body = await answer.json();
    detail = body.detail || body.reason || detail;
  } catch { /* It is no JSON. */ }
  throw new Refused(answer.status, detail, Number(answer.headers.get("retry-after")) || 0);
}

export const json = async (path, options) => (await ask(path, options)).json();

// Gives a command. What comes of it is `{ status, reason }`.
export async function command(name, fields = {}) {
  return json(`/api/commands/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
}

// Server-sent events of an answer, as `[name, data]`. `heard` is called for whatever comes, so also for signs of life.
export async function* events(answer, heard) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        let name = "message", data = "";
        for (const line of block.split("\n")) {
          if (line.startsWith("event:")) name = line.slice(6).trim();
          else if (line.startsWith("data:")) data += line.slice(5).trim();
        }
        if (data) yield [name, JSON.parse(data)];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
