// One completion: who served it, what it cost, and the id to ask support about.
// Run with OPENAI_BASE_URL=http://127.0.0.1:8080/v1 and OPENAI_API_KEY=sk-tr-…
import OpenAI from "openai";

const client = new OpenAI();
const { data, response } = await client.chat.completions
  .create(
    {
      model: process.env.MODEL ?? "auto",
      messages: [{ role: "user", content: "Say hello to finance." }],
    },
    { headers: { "x-tallyroute-tags": "feature=example,run=1" } },
  )
  .withResponse();

console.log("answer:  ", data.choices[0].message.content);
console.log("provider:", response.headers.get("x-tallyroute-provider"));
console.log("attempts:", response.headers.get("x-tallyroute-attempts"));
console.log("cost:    ", response.headers.get("x-tallyroute-cost-usd"), "USD, in the body:", data.usage.cost);
console.log("request: ", data._request_id);
