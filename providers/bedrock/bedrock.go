// Package bedrock is the adapter of AWS Bedrock: the Converse API, whole and
// streamed, for every model that it serves, and InvokeModel for Claude. It owns what
// a chat request becomes there and what its answers become here; how either travels
// is the client's.
//
// The format is that of the Bedrock Runtime API reference of AWS.
package bedrock

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers"
)

// completions is the codec of chat completions by Converse.
type completions struct{ now func() time.Time }

// New is the adapter.
func New() providers.Adapter { return At(time.Now) }

// At is the adapter with another clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}

// id is one for an answer, which has none of its own.
func (a completions) id(x providers.Exchange) string {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, a.now().UnixNano())
	if x.Request != nil {
		h.Write(x.Request.Body())
	}
	return "chatcmpl-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// path is where a model is called. All that AWS does not take for a plain letter
// is escaped, as its own clients do.
func path(x providers.Exchange, whole, streamed string) string {
	var b strings.Builder
	b.WriteString("/model/")
	for i := range len(x.Target.Upstream) {
		c := x.Target.Upstream[i]
		if strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if x.Request.Stream() {
		return b.String() + streamed
	}
	return b.String() + whole
}

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// accept is what a call asks for.
func accept(x providers.Exchange) http.Header {
	if x.Request.Stream() {
		return http.Header{"Accept": {"application/vnd.amazon.eventstream"}}
	}
	return nil
}
