// A tool call and its result, over two turns.
import OpenAI from "openai";

const client = new OpenAI();
const model = process.env.MODEL ?? "auto";
const tools = [
  {
    type: "function",
    function: {
      name: "get_budget",
      description: "What is left of a team's budget, in dollars.",
      parameters: { type: "object", properties: { team: { type: "string" } }, required: ["team"] },
    },
  },
];
const messages = [{ role: "user", content: "Ask get_budget: how much is left for the team payments?" }];
const first = await client.chat.completions.create({ model, messages, tools });
const call = first.choices[0].message.tool_calls?.[0];
if (!call) throw new Error("no tool was called");
console.log("called:", call.function.name, call.function.arguments);
messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: '{"usd":"12.34"}' });
const second = await client.chat.completions.create({ model, messages, tools });
console.log("answer:", second.choices[0].message.content);
