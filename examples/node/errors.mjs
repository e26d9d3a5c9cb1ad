// What an error says, and that a hopeless request is not retried.
import OpenAI from "openai";

let requests = 0;
const client = new OpenAI({
  fetch: (...args) => {
    requests++;
    return fetch(...args);
  },
});
try {
  await client.chat.completions.create({ model: "no-such-model", messages: [{ role: "user", content: "hi" }] });
  throw new Error("expected an error");
} catch (err) {
  if (!(err instanceof OpenAI.NotFoundError)) throw err;
  console.log("status: ", err.status, err.code);
  console.log("message:", err.message);
  console.log("fix:    ", err.error?.fix);
  console.log("request:", err.requestID, "sent", requests, "time(s)");
}
if (requests !== 1) process.exit(1);
