package providers_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"tallyroute/providers"
	"tallyroute/providers/auth"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
)

// One request is sent to one target. Which target, and what the request may cost, has been
// decided elsewhere.
func ExampleClient_Do() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":`+
			`{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,`+
			`"total_tokens":10}}`)
	}))
	defer upstream.Close()

	client := providers.NewClient(providers.Options{})
	defer client.Close()
	request, err := chat.ParseRequest([]byte(`{"model":"acme/m","messages":[{"role":"user","content":"Hi!"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := client.Do(context.Background(), providers.Exchange{
		Request: request,
		Target: providers.Target{
			Provider: "acme", Model: "m", Upstream: "m", BaseURL: upstream.URL, Private: true, Adapter: openai.New(),
			Auth: auth.Bearer(func(context.Context) (string, error) { return "our credential", nil }),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Close()
	fmt.Println(answer.Response.Text, answer.Response.Usage.Output)
	// Output:
	// Hello. 2
}
