package providertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// golden is one exchange, a txtar file with these parts:
//
//	client    what the client sent
//	target    what differs from a plain target, as JSON (see setup); optional
//	call      what went upstream: the path, what was dropped, the body
//	upstream  what came back: the status, headers, an empty line, the body
//	answer    what the caller got
//
// An update rewrites call and answer.
type golden struct {
	file    string
	archive *txtar.Archive

	client, sent, answer string
	setup                setup
	status               int
	header               http.Header
	body                 []byte
}

// setup is what may differ between targets.
type setup struct {
	Upstream  string
	MaxOutput int64
	Quirks    providers.Quirks
}

func readGolden(t *testing.T, file string) *golden {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{file: file, archive: a, setup: setup{Upstream: "upstream-model"}}
	for _, f := range a.Files {
		switch f.Name {
		case "client":
			g.client = strings.TrimSuffix(string(f.Data), "\n")
		case "target":
			d := json.NewDecoder(bytes.NewReader(f.Data))
			d.DisallowUnknownFields()
			if err := d.Decode(&g.setup); err != nil {
				t.Fatalf("target: %v", err)
			}
		case "call":
			g.sent = string(f.Data)
		case "upstream":
			g.upstream(t, f.Data)
		case "answer":
			g.answer = string(f.Data)
		default:
			t.Fatalf("%s has a part %q", file, f.Name)
		}
	}
	return g
}

// upstream reads a recorded response. The line endings of the file are kept, so that the body
// may have any kind.
func (g *golden) upstream(t *testing.T, data []byte) {
	t.Helper()
	head, body, _ := bytes.Cut(data, []byte("\n\n"))
	status, headers, _ := strings.Cut(string(head), "\n")
	var err error
	if g.status, err = strconv.Atoi(strings.TrimSpace(status)); err != nil {
		t.Fatalf("upstream: %v", err)
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(headers + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("upstream: %v", err)
	}
	g.header, g.body = http.Header(h), body
}

// whole reports whether the response is not streamed, regardless of what was requested.
func (g *golden) whole() bool {
	return strings.HasPrefix(g.header.Get("Content-Type"), "application/json")
}

func (g *golden) exchange(t *testing.T, a providers.Adapter) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(g.client))
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	x := g.target(a, providers.Chat, r)
	x.MaxOutput = g.setup.MaxOutput
	return x
}

// target returns the exchange that sends r to the target in the file.
func (g *golden) target(a providers.Adapter, o providers.Operation, r *chat.Request) providers.Exchange {
	return providers.Exchange{
		Operation: o,
		Target: providers.Target{
			Provider: "provider", Model: "model", Upstream: g.setup.Upstream, Adapter: a,
			Quirks: g.setup.Quirks.Over(a.Quirks).Of(o), Private: true,
		},
		Request: r,
	}
}

// write rewrites the file with the current results.
func (g *golden) write(t *testing.T, sent, answer string) {
	t.Helper()
	set := func(name, text string) {
		for i := range g.archive.Files {
			if g.archive.Files[i].Name == name {
				g.archive.Files[i].Data = []byte(text)
				return
			}
		}
		g.archive.Files = append(g.archive.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	set("call", sent)
	set("answer", answer)
	if err := os.WriteFile(g.file, txtar.Format(g.archive), 0o644); err != nil { //nolint:gosec // a file of the source tree
		t.Fatal(err)
	}
}

func renderCall(c providers.Call) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s\n", c.Path)
	if len(c.Header) > 0 {
		_ = c.Header.Write(&b)
	}
	if len(c.Dropped) > 0 {
		fmt.Fprintf(&b, "dropped: %s\n", strings.Join(c.Dropped, ", "))
	}
	fmt.Fprintf(&b, "\n%s\n", c.Body)
	return b.String()
}

// String returns an outcome in a form for comparing and reading.
func (o outcome) String() string {
	var b strings.Builder
	if r := o.response; r != nil {
		fmt.Fprintf(&b, "id %q, model %q, finish %q, text %q\n%s\n%s\n", r.ID, r.Model, r.Finish, r.Text, renderUsage(r.Usage),
			bytes.TrimSpace(r.Body))
	}
	for _, c := range o.chunks {
		mark := "-"
		switch {
		case c.UsageOnly:
			mark = "usage"
		case c.Content:
			mark = "content"
		}
		fmt.Fprintf(&b, "%s: finish %q, text %q, %s\n\t%s\n", mark, c.Finish, c.Text, renderUsage(c.Usage), c.Data)
	}
	fmt.Fprintln(&b, renderError(o.err))
	return b.String()
}

func renderUsage(u *chat.Usage) string {
	if u == nil {
		return "no usage"
	}
	var b strings.Builder
	b.WriteString("usage")
	v := reflect.ValueOf(*u)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			fmt.Fprintf(&b, " %s:%v", v.Type().Field(i).Name, f)
		}
	}
	return b.String()
}

func renderError(err error) string {
	e, ok := err.(*providers.Error) //nolint:errorlint // adapters return it bare
	switch {
	case ok:
		return fmt.Sprintf("%s error, status %d, %+v", e.Kind, e.Status, e.Detail)
	case err != nil:
		return "error: " + err.Error()
	}
	return "a good end"
}
