package admin

import (
	"strings"

	"tallyroute/billing"
)

// snippets are first calls with a new key. They take the key from the
// environment, so that it does not end up in a file or a history.
func snippets(baseURL string, k *billing.Key) map[string]string {
	model := "auto"
	if len(k.Models) > 0 && !strings.HasSuffix(k.Models[0], "*") {
		model = k.Models[0]
	}
	out := make(map[string]string, len(templates))
	fill := strings.NewReplacer("{base}", baseURL, "{model}", model)
	for language, text := range templates {
		out[language] = fill.Replace(text)
	}
	return out
}

var templates = map[string]string{
	"curl": `curl {base}/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" ` +
		`-d '{"model":"{model}","messages":[{"role":"user","content":"hi"}]}'`,
	"python": `from openai import OpenAI
client = OpenAI(base_url="{base}")  # reads OPENAI_API_KEY
print(client.chat.completions.create(model="{model}", messages=[{"role": "user", "content": "hi"}]).choices[0].message.content)`,
	"node": `import OpenAI from "openai";
const client = new OpenAI({ baseURL: "{base}" }); // reads OPENAI_API_KEY
const answer = await client.chat.completions.create({ model: "{model}", messages: [{ role: "user", content: "hi" }] });
console.log(answer.choices[0].message.content);`,
	"go": `config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY")) // github.com/sashabaranov/go-openai
config.BaseURL = "{base}"
answer, err := openai.NewClientWithConfig(config).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
	Model:    "{model}",
	Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hi"}},
})`,
}
