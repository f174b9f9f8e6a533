// Calls of a page to /v1, with a key that lives a quarter of an hour and only in the page's memory.
import { events } from "./sse.js";

export const time = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

async function* deltas(answer, wanted) {
  if (!wanted.stream) {
    const whole = await answer.json();
    yield whole.choices[0].message;
    return;
  }
  for await (const data of events(answer.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    yield chunk.choices?.[0]?.delta ?? {};
  }
}

// A call of a tool comes whole, or its arguments in pieces under its number.
function note(calls, pieces) {
  pieces.forEach((piece, place) => {
    const call = (calls[piece.index ?? place] ??= { name: "", arguments: "" });
    call.name += piece.function?.name ?? "";
    call.arguments += piece.function?.arguments ?? "";
  });
}

export class Gateway {
  // noAnswer is what is said when nothing better is known.
  constructor(baseUrl, keyUrl, noAnswer) {
    Object.assign(this, { baseUrl, keyUrl, noAnswer, key: null });
  }

  async freshKey() {
    if (this.key && Date.now() < this.key.endsAt) return this.key.text;
    const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
    const answer = await fetch(this.keyUrl, { method: "POST", headers: { "X-CSRFToken": token } });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const made = await answer.json();
    this.key = { text: made.key, endsAt: Date.now() + (made.lives_s - 30) * 1000 };
    return this.key.text;
  }

  // Tells the text and the tool calls so far with each piece, and the time of the first one.
  // Resolves to {requestId, text, calls, error, stopped, firstMs, totalMs}.
  async ask(wanted, { signal, onFirst = () => {}, onText = () => {} }) {
    const startedAt = performance.now();
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${await this.freshKey()}` };
    const answer = await fetch(`${this.baseUrl}/chat/completions`, {
      method: "POST", headers, body: JSON.stringify(wanted), signal,
    });
    const requestId = answer.headers.get("x-request-id");
    if (!answer.ok) {
      const refusal = await answer.json().catch(() => null);
      if (answer.status === 401) this.key = null;
      return { requestId, error: refusal?.error?.message ?? this.noAnswer };
    }
    let text = "";
    let firstMs;
    const calls = [];
    try {
      for await (const delta of deltas(answer, wanted)) {
        const piece = delta.content ?? "";
        if (firstMs === undefined && (piece || delta.tool_calls)) {
          firstMs = performance.now() - startedAt;
          onFirst(firstMs);
        }
        text += piece;
        note(calls, delta.tool_calls ?? []);
        onText(text, calls);
      }
    } catch (error) {
      if (error.name !== "AbortError") return { requestId, text, calls, error: error.message, firstMs };
      return { requestId, text, calls, stopped: true, firstMs, totalMs: performance.now() - startedAt };
    }
    return { requestId, text, calls, stopped: false, firstMs, totalMs: performance.now() - startedAt };
  }
}
