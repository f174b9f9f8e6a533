// A chat call as cURL, Python and JavaScript.
const indent = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

function python(value) {
  return JSON.stringify(value, null, 4)
    .replace(/: true(,?)$/gm, ": True$1")
    .replace(/: false(,?)$/gm, ": False$1")
    .replace(/: null(,?)$/gm, ": None$1");
}

function pythonArguments(body) {
  return Object.entries(body)
    .map(([name, value]) => `    ${name}=${indent(python({ v: value }).slice(11, -2).replaceAll("\n    ", "\n"), 4)},`)
    .join("\n");
}

function asCurl(url, body) {
  const shown = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return [
    `curl ${url} \\`,
    `  -H "Authorization: Bearer $OPENAI_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${shown}'`,
  ].join("\n");
}

// One prompt at several models. The SDKs know nothing of it, but take any address below their base_url.
export function asComparison(baseUrl, body) {
  return {
    curl: asCurl(`${baseUrl}/compare`, body),
    python: `import os
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(baseUrl)}, api_key=os.environ["OPENAI_API_KEY"])

compared = client.post("/compare", cast_to=object, body=${python(body)})
for one in compared["data"]:
    print(one["model"], one["duration_ms"], one["cost_usd"])`,
    javascript: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(baseUrl)}, apiKey: process.env.OPENAI_API_KEY });

const compared = await client.post("/compare", { body: ${JSON.stringify(body, null, 2)} });
for (const one of compared.data) {
  console.log(one.model, one.duration_ms, one.cost_usd);
}`,
  };
}

export function asCode(baseUrl, body) {
  return {
    curl: asCurl(`${baseUrl}/chat/completions`, body),
    python: `import os
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(baseUrl)}, api_key=os.environ["OPENAI_API_KEY"])

answer = client.chat.completions.create(
${pythonArguments(body)}
)
${body.stream ? 'for chunk in answer:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="", flush=True)' : "print(answer.choices[0].message.content)"}`,
    javascript: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(baseUrl)}, apiKey: process.env.OPENAI_API_KEY });

const answer = await client.chat.completions.create(${JSON.stringify(body, null, 2)});
${body.stream ? 'for await (const chunk of answer) {\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n}' : "console.log(answer.choices[0].message.content);"}`,
  };
}
