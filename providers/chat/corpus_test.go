package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// recorded is an exchange with a real provider, and what should be read from it.
type recorded struct {
	ID, Family string
	Request    struct{ Body json.RawMessage }
	Response   struct {
		Status int
		Body   string
	}
	Expected struct {
		Kind    string
		Text    string
		Choices int
		Finish  string `json:"finish_reason_native"`
		Error   *struct {
			InBody bool `json:"in_body"`
		}
		Usage *struct {
			Prompt, Completion, Cached, Reasoning int64
			CacheWrite                            int64 `json:"cache_write"`
			Native                                struct {
				Total int64 `json:"total_tokens"`
			}
		}
	}
}

// TestCorpus reads recorded traffic of many providers.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*-chat", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var x recorded
		if err := json.Unmarshal(text, &x); err != nil {
			t.Fatal(err)
		}
		if x.Family == "openai-chat" {
			t.Run(x.ID, func(t *testing.T) {
				checkRequest(t, x)
				checkAnswer(t, x)
			})
		}
	}
}

func checkRequest(t *testing.T, x recorded) {
	body := x.Request.Body
	if jsonraw.Text(jsonraw.Lookup(body, "model")) == "" || jsonraw.Lookup(body, "messages") == nil {
		return // the client's mistake, or a deployment named in the path
	}
	if _, err := chat.ParseRequest(body); err != nil {
		t.Error(err)
	}
}

func checkAnswer(t *testing.T, x recorded) {
	got, err := readAnswer(x.Response.Body)
	if x.Expected.Error != nil {
		if _, ok := chat.ParseError([]byte(x.Response.Body)); err == nil || !ok && x.Response.Body != "" &&
			!strings.HasPrefix(x.Response.Body, "data:") && x.Response.Body[0] == '{' {
			t.Errorf("no error: %.200s", x.Response.Body)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v: %.300s", err, x.Response.Body)
	}
	if !strings.Contains(got.Text, x.Expected.Text) && x.Expected.Choices == 1 && !strings.Contains(x.Response.Body, `"reasoning`) {
		t.Errorf("text %.200q, want %.200q", got.Text, x.Expected.Text)
	}
	if u := x.Expected.Usage; u != nil {
		if got.Usage == nil || got.Usage.Invalid {
			t.Fatalf("usage %+v, want %+v", got.Usage, *u)
		}
		cached := got.Usage.CacheRead + got.Usage.CacheWrite
		prompt, output := got.Usage.Input+cached, got.Usage.Output
		// If a response's own numbers do not add up, the total and the larger part decide.
		adds := prompt+output == u.Native.Total || u.Cached > u.Prompt && prompt == u.Prompt+u.Cached
		if (prompt != u.Prompt || output != u.Completion) && !adds {
			t.Errorf("usage %+v, want %+v", *got.Usage, *u)
		}
		if u.Cached > 0 && got.Usage.CacheRead != u.Cached || got.Usage.CacheWrite != u.CacheWrite ||
			got.Usage.Reasoning != min(u.Reasoning, output) {
			t.Errorf("usage %+v, want %+v", *got.Usage, *u)
		}
	}
}

// readAnswer reads a complete response, or collects a stream.
func readAnswer(body string) (chat.Response, error) {
	if !strings.Contains(body, "data:") || strings.HasPrefix(strings.TrimSpace(body), "{") {
		r, err := chat.ParseResponse([]byte(body))
		if err != nil {
			return chat.Response{}, err
		}
		return *r, nil
	}
	var sum chat.Response
	for line := range strings.Lines(body) {
		data, isData := strings.CutPrefix(line, "data:")
		if data = strings.TrimSpace(data); !isData || data == "[DONE]" {
			continue
		}
		c, err := chat.ParseChunk([]byte(data), "x_groq", "usage")
		if err != nil {
			return sum, err
		}
		sum.Text += c.Text
		if c.Usage != nil {
			sum.Usage = c.Usage
		}
		if c.Finish != "" {
			sum.Finish = c.Finish
		}
	}
	return sum, nil
}
