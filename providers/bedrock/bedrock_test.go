package bedrock_test

import (
	"bytes"
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

// clock stands.
func clock() time.Time { return time.Unix(1_767_225_600, 0) }

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: bedrock.At(clock), Dir: "testdata", Wire: wire(t), Update: *update})
}

// wire makes binary messages of lines such as "messageStart {…}". One that begins
// with "exception " is one.
func wire(t *testing.T) func(http.Header, []byte) []byte {
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
