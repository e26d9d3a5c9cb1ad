// Package bedrock is the adapter for AWS Bedrock: the Converse API, streamed or not, for
// every model that it serves, and InvokeModel for Claude, Nova and older models. It
// translates chat requests into those formats and their responses back; transport is the
// client's job.
//
// The formats follow AWS's Bedrock Runtime API reference.
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

// completions is the codec for chat completions over Converse.
type completions struct{ now func() time.Time }

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}

// id returns an ID for a response, since Bedrock provides none.
func (a completions) id(x providers.Exchange) string {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, a.now().UnixNano())
	if x.Request != nil {
		h.Write(x.Request.Body())
	}
	return "chatcmpl-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// path returns the path to call a model. Like AWS's own clients, it escapes every
// character that AWS does not treat as unreserved.
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

// accept returns the Accept header of a call.
func accept(x providers.Exchange) http.Header {
	if x.Request.Stream() {
		return http.Header{"Accept": {"application/vnd.amazon.eventstream"}}
	}
	return nil
}
