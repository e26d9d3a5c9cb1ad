package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
)

// biller is a provider that keeps a bill of its own on disk, as a real one would. The ledger is
// compared with it.
type biller struct {
	*httptest.Server
	name  string
	fails int           // how many of a hundred requests fail and are not billed
	pace  time.Duration // the delay between two words of a stream, and before a plain answer
	asked atomic.Int64

	mu   sync.Mutex
	bill *os.File
	// owed counts a request in progress with the most that it may use, except for one that its
	// client will leave, because the router learns of its end before we do. most is the highest
	// value that owed has had.
	owed, most int64
}

// billed is one line of a bill. Each request adds one when it arrives and another when it ends.
type billed struct {
	Mark   string `json:"mark"` // sent by the client
	Event  string `json:"event"`
	Tokens int64  `json:"tokens"`
}

// The events of a bill.
const (
	billAsked  = "asked"
	billFailed = "failed"
	billWhole  = "whole" // answered completely
	billCut    = "cut"   // the caller left
)

// proofPrompt has one token per word for the biller.
const (
	proofPrompt  = "one two three four five six seven eight"
	promptTokens = 8
)

func newBiller(t *testing.T, name string) *biller {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), name+".bill"))
	if err != nil {
		t.Fatal(err)
	}
	b := &biller{name: name, bill: file}
	b.Server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
		_ = file.Close()
	})
	return b
}

// note writes a line to the bill and adds its change to what is owed.
func (b *biller) note(l billed, change int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := json.NewEncoder(b.bill).Encode(l); err != nil {
		panic(err)
	}
	b.owed += change
	b.most = max(b.most, b.owed)
}

func (b *biller) serve(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		User   string `json:"user"`
		Most   int64  `json:"max_tokens"`
		Stream bool   `json:"stream"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the body was incomplete
	}
	if err := json.Unmarshal(body, &ask); err != nil || ask.User == "" || ask.Most < 1 {
		http.Error(w, "not what the clients send", http.StatusNotImplemented)
		return
	}
	most := promptTokens + ask.Most
	if strings.HasPrefix(ask.User, leaving) {
		most = promptTokens
	}
	b.asked.Add(1)
	b.note(billed{ask.User, billAsked, 0}, most)
	if rand.IntN(100) < b.fails {
		b.note(billed{ask.User, billFailed, 0}, -most)
		http.Error(w, `{"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}`, http.StatusServiceUnavailable)
		return
	}
	words := 1 + rand.Int64N(ask.Most)
	said, event := b.answer(w, r, words, ask.Stream)
	tokens := promptTokens + said
	if event == billCut { // nobody knows how much of it the caller has read
		b.note(billed{ask.User, event, tokens}, -most)
		return
	}
	b.note(billed{ask.User, event, tokens}, tokens-most)
}

// answer sends words and returns how many it sent. The end of an answer is sent only after the bill
// is written, so the router cannot know of it first.
func (b *biller) answer(w http.ResponseWriter, r *http.Request, words int64, stream bool) (said int64, event string) {
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, promptTokens, words, promptTokens+words)
	if !stream {
		if !b.wait(r) {
			return words, billCut
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"m","choices":[{"index":0,`+
			`"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],%s`, strings.Repeat("word ", int(words)), usage)
		return words, billWhole
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	for said < words {
		fmt.Fprintf(w, "data: %s\n\n", strings.Replace(attackWord, "hello there", "word ", 1))
		said++
		if flush.Flush() != nil || !b.wait(r) {
			return said, billCut
		}
	}
	fmt.Fprintf(w, "data: %s\n\ndata: %s\"choices\":[],%s\n\ndata: [DONE]\n\n", attackFinish, attackHead, usage)
	return words, billWhole
}

// wait waits for the pace and reports whether the caller is still there.
func (b *biller) wait(r *http.Request) bool {
	return app.Wait(r.Context(), b.pace)
}

// sum returns the total owed so far.
func (b *biller) sum() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owed
}

// read returns the bill: the last event for each mark.
func (b *biller) read(t *testing.T) map[string]billed {
	t.Helper()
	file, err := os.Open(b.bill.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bill := make(map[string]billed)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l billed
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if old, twice := bill[l.Mark]; twice && (l.Event == billAsked || old.Event != billAsked) {
			t.Errorf("%s got %s twice", b.name, l.Mark)
		}
		bill[l.Mark] = l
	}
	return bill
}

// billedConfig writes a configuration with the billers as providers, the cheapest first. All
// configurations have the same pepper.
func billedConfig(t *testing.T, database, more string, billers ...*biller) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndatabase: %q\nkey_pepper: file:%s\nlog: {format: "+
		"json}\nproviders:\n",
		database, filepath.Join(dir, "pepper"))
	for n, b := range billers {
		text += attackProvider(n, b.URL, "    private: true\n")
	}
	text = strings.ReplaceAll(text, "CREDENTIAL", filepath.Join(dir, "credential")) + more
	if !strings.Contains(more, "journal:") {
		text += "journal: " + filepath.Join(dir, "journal") + "\n"
	}
	if !strings.Contains(more, "timeouts:") {
		text += "timeouts: {shutdown_wait: 0s, " + databasePatience + "}\n"
	}
	file := filepath.Join(dir, "tallyroute.yaml")
	for name, content := range map[string]string{
		file: text, filepath.Join(dir, "pepper"): strings.Repeat("p", 32),
		filepath.Join(dir, "credential"): attackCredential,
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// journalOf returns the journal directory of a configuration from billedConfig.
func journalOf(config string) string { return filepath.Join(filepath.Dir(config), "journal") }

// quit stops a router gracefully.
func quit(t *testing.T, c *exec.Cmd) {
	t.Helper()
	send(t, c, syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("the router ended with %v", err)
	}
}

// crowd is a group of clients that record which answers they got.
type crowd struct {
	http  *http.Client
	marks atomic.Int64

	mu    sync.Mutex
	acked map[string]string // request ids by mark, of complete answers
	whole map[string]int    // the number of complete answers by router
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &crowd{http: &http.Client{Transport: transport}, acked: make(map[string]string), whole: make(map[string]int)}
}

// question is one request of the crowd.
type question struct {
	base, key string
	most      int64 // max_tokens
	stream    bool
	leave     time.Duration // after which the client hangs up; 0 means never
}

// reply is an answer as a client got it. A status of 0 means that there was none.
type reply struct {
	mark   string
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// leaving is the prefix of marks of requests whose clients hang up.
const leaving = "leaving-"

var errCutShort = errors.New("the answer is incomplete")

// ask sends a request and records the answer if it is complete.
func (c *crowd) ask(ctx context.Context, q question) (reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if q.leave > 0 {
		time.AfterFunc(q.leave, cancel)
	}
	r := reply{mark: "mark" + strconv.FormatInt(c.marks.Add(1), 10)}
	if q.leave > 0 {
		r.mark = leaving + r.mark
	}
	body := fmt.Sprintf(`{"model":"m","stream":%t,"max_tokens":%d,"user":%q,"messages":[{"role":"user","content":%q}]}`, q.stream, q.most,
		r.mark, proofPrompt)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+q.key)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, err = io.ReadAll(resp.Body)
	r.took = time.Since(began)
	if err != nil || r.status != http.StatusOK {
		return r, err
	}
	if q.stream && !bytes.HasSuffix(r.body, []byte("data: [DONE]\n\n")) {
		return r, errCutShort
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[r.mark] = r.header.Get("X-Request-Id")
	c.whole[q.base]++
	return r, nil
}

// wholeOf returns how many complete answers a router gave.
func (c *crowd) wholeOf(base string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whole[base]
}

// bookedRow is a row of the ledger as the proofs see it.
type bookedRow struct {
	mark, provider, request, status string
	attempt                         string
	tokens, nano, overrun           int64
	final                           bool
}

func bookedRows(db rowsOf) []bookedRow {
	var rows []bookedRow
	for _, r := range db.Rows(`SELECT coalesce(u.shown, e.end_user), provider, request_id, status, attempt,
		input_tokens + cache_read_tokens + cache_write_tokens + output_tokens, coalesce(cost_nano, 0), overrun_tokens, final
		FROM spend_events e LEFT JOIN end_users u ON u.stored = e.end_user WHERE kind = 'usage'`) {
		row := bookedRow{mark: r[0], provider: r[1], request: r[2], status: r[3], attempt: r[4], final: r[8] == "true" || r[8] == "1"}
		for i, n := range []*int64{&row.tokens, &row.nano, &row.overrun} {
			*n, _ = strconv.ParseInt(r[5+i], 10, 64) // from a bigint
		}
		rows = append(rows, row)
	}
	return rows
}

// compared compares the ledger with the bills and with the clients' answers: each call is booked
// once, exactly if it was completed, and never below the bill.
func compared(t *testing.T, db rowsOf, c *crowd, billers ...*biller) (rows []bookedRow) {
	t.Helper()
	rows = bookedRows(db)
	type attempt struct{ mark, provider string }
	byAttempt, answered := make(map[attempt]bookedRow), make(map[string]bookedRow)
	for _, r := range rows {
		a := attempt{r.mark, r.provider}
		if _, twice := byAttempt[a]; twice {
			t.Errorf("%s at %s is booked twice", r.mark, r.provider)
		}
		byAttempt[a] = r
		if r.status == "ok" {
			answered[r.mark] = r
		}
	}
	for _, b := range billers {
		bill := b.read(t)
		for mark, l := range bill {
			r, ok := byAttempt[attempt{mark, b.name}]
			if !ok {
				t.Errorf("%s was sent to %s and is not in the ledger (%s, %d tokens)", mark, b.name, l.Event, l.Tokens)
				continue
			}
			agree(t, r, l)
		}
		for a, r := range byAttempt {
			if _, asked := bill[a.mark]; !asked && a.provider == b.name && r.status != "interrupted" &&
				r.status != "client_aborted" { // which may have been sent
				t.Errorf("%s is booked as %s and was never sent to %s", a.mark, r.status, b.name)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for mark, id := range c.acked {
		if r, ok := answered[mark]; !ok || r.request != id || !r.final {
			t.Errorf("the client got a complete answer to %s (%s), the ledger has %+v", mark, id, r)
		}
	}
	return rows
}

// agree compares a row with its line of the bill.
func agree(t *testing.T, r bookedRow, l billed) {
	t.Helper()
	right := false
	switch r.status {
	case "ok":
		right = l.Event == billWhole && r.tokens == l.Tokens
	case "error":
		right = l.Event == billFailed && r.tokens == 0
	case "client_aborted":
		right = r.tokens > 0 && r.nano > 0
	case "interrupted", "upstream_aborted": // on a busy machine a call may time out
		right = r.tokens >= l.Tokens && r.tokens > 0 && r.nano > 0
	}
	if !right {
		t.Errorf("the ledger has %+v, the bill %+v", r, l)
	}
}

// clean checks that nothing is held or leased and that the ledger passes the integrity check.
func clean(t *testing.T, db rowsOf, config string) {
	t.Helper()
	for what, query := range map[string]string{
		"held or leased": "SELECT budget_id, held_tokens, held_nano, leased_tokens, leased_nano FROM budget_counters WHERE held_tokens + " +
			"held_nano + leased_tokens + leased_nano <> 0",
		"a lease":   "SELECT budget_id, replica_id, tokens, nano FROM leases WHERE tokens + nano <> 0",
		"a replica": "SELECT id, name FROM replicas",
		"a hold":    "SELECT id FROM holds",
		"rejected":  "SELECT request_id, reason FROM spend_rejects",
	} {
		if left := db.Rows(query); len(left) > 0 {
			t.Errorf("%s: %v", what, left)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--config", config, "integrity"}, strings.NewReader(""), &stdout, &stderr); code != cli.ExitOK {
		t.Errorf("integrity: exit code %d\n%s%s", code, &stdout, &stderr)
	}
}
