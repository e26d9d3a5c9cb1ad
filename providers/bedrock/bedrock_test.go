package bedrock_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"tallyroute/providers/bedrock"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// clock always returns the same time.
func clock() time.Time { return time.Unix(1_767_225_600, 0) }

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: bedrock.At(clock), Dir: "testdata", Wire: wire(t), Update: *update})
}

func TestInvoke(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: bedrock.InvokeAt(clock), Dir: "testdata/invoke", Wire: wire(t), Update: *update})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, bedrock.At(clock), func(c *providertest.Recorded) bool { return c.Family == "bedrock-converse" })
}

// TestCorpus_Invoke covers recorded InvokeModel responses, both messages and texts. It skips
// those that are not chat answers, and those whose token counts are in headers, which are not
// recorded here.
func TestCorpus_Invoke(t *testing.T) {
	providertest.Corpus(t, bedrock.InvokeAt(clock), func(c *providertest.Recorded) bool {
		return c.Family == "bedrock-invoke" && !strings.Contains(c.Model, "cohere") && !strings.Contains(c.Model, "mistral") &&
			c.ID != cachedBeside
	})
}

// cachedBeside is a response whose recorded expectation leaves out the cached tokens that the
// provider reports.
const cachedBeside = "bedrock-invoke-stream-5fff3b6b"

func FuzzAnswer(f *testing.F) {
	providertest.FuzzAnswers(f, bedrock.At(clock), seeds(f)...)
}

func FuzzInvoke(f *testing.F) {
	providertest.FuzzAnswers(f, bedrock.InvokeAt(clock), seeds(f)...)
}

func seeds(f *testing.F) []string {
	stream := func(lines string) string {
		return string(wire(f)(http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}, []byte(lines)))
	}
	return []string{
		stream("messageStart {}\ncontentBlockStart " +
			"{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\"}}}\n" +
			"contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}\nmessageStop " +
			"{\"stopReason\":\"tool_use\"}\n" +
			"metadata {\"usage\":{\"inputTokens\":-1,\"outputTokens\":2}}"),
		stream("exception throttlingException {\"message\":\"no\"}"),
		stream("chunk {\"type\":\"message_start\",\"message\":{}}\nchunk " +
			"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}"),
		stream("chunk {\"messageStart\":{}}\nchunk {\"messageStop\":{\"stopReason\":\"end_turn\"}}"),
		`{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"input":[]}}]}},"stopReason":"end_turn","usage":{}}`,
	}
}

// wire turns lines such as "messageStart {…}" into binary messages. A line that begins with
// "exception " becomes an exception.
func wire(t testing.TB) func(http.Header, []byte) []byte {
	return func(h http.Header, body []byte) []byte {
		if h.Get("Content-Type") != "application/vnd.amazon.eventstream" {
			return body
		}
		var out bytes.Buffer
		for line := range strings.Lines(string(body)) {
			kind, line := "event", strings.TrimSpace(line)
			if rest, ok := strings.CutPrefix(line, "exception "); ok {
				kind, line = "exception", rest
			}
			name, data, ok := strings.Cut(line, " ")
			if !ok {
				continue
			}
			if name == "chunk" {
				data = `{"bytes":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","p":"abc"}`
			}
			m := eventstream.Message{Payload: []byte(data)}
			m.Headers.Set(":message-type", eventstream.StringValue(kind))
			m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
			m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
			if err := eventstream.NewEncoder().Encode(&out, m); err != nil {
				t.Fatal(err)
			}
		}
		return out.Bytes()
	}
}
