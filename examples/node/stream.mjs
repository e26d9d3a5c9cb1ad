// A stream. The usage chunk comes because it is asked for, and carries the cost.
import OpenAI from "openai";

const client = new OpenAI();
const stream = await client.chat.completions.create({
  model: process.env.MODEL ?? "auto",
  messages: [{ role: "user", content: "Tell me a short story." }],
  stream: true,
  stream_options: { include_usage: true },
});
let usage;
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  usage = chunk.usage ?? usage;
}
console.log("\nusage:", JSON.stringify(usage));
if (!usage) process.exit(1);
