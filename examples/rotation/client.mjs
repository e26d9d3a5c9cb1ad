// A client that goes on through rotations: on key_rotated it reads its key again.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

const keyFile = process.env.TALLYROUTE_KEY_FILE; // where the sink writes the key
const baseURL = process.env.TALLYROUTE_BASE_URL ?? "http://127.0.0.1:8080/v1";

const readKey = async () => (await readFile(keyFile, "utf8")).trim();
let key = await readKey();

async function chat(body, again = true) {
  const answer = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const json = await answer.json();
  if (answer.ok) return json;
  if (again && answer.status === 401 && json.error.code === "key_rotated") {
    key = await readKey();
    return chat(body, false);
  }
  throw new Error(json.error.message);
}

let asked = 0;
for await (const _ of createInterface({ input: process.stdin })) { // one line, one question
  const answer = await chat({ model: "echo", messages: [{ role: "user", content: "Hello!" }] });
  console.log(answer.choices[0].message.content);
  if (++asked === 2) process.exit(0);
}
