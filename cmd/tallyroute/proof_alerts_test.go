package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/providers/notify"
)

const (
	alertRouters = 3
	alertClients = 24
	hookSecret   = "what the calls are signed with, at both ends"
)

// TestEachThresholdIsToldOnce sends $ALERTS requests to three routers, past every threshold of
// the limits of a key, its team and the organisation. Meanwhile two of the routers are killed,
// and the receiver fails, stalls, or hangs up after it has read.
func TestEachThresholdIsToldOnce(t *testing.T) {
	requests := prove.Size(t, "ALERTS", 0)
	if requests == 0 {
		t.Skip("ALERTS says how many requests")
	}
	t.Setenv("TALLYROUTE_TEST_HOOK_SECRET", hookSecret)
	w := newTelling(t, int64(requests))
	key := w.routers[0].key("--owner", "ann@example.com", "--budget-requests", strconv.FormatInt(w.limit, 10))
	for _, of := range [][]string{{"team", "web"}, {"org"}} {
		command(t, slices.Concat([]string{"--config", w.routers[0].config, "budgets", "set"}, of,
			[]string{"--requests", strconv.FormatInt(w.limit, 10), "--tokens", "1000000000"})...)
	}
	<-time.After(time.Second) // by then every router knows the limits

	w.use(key)
	w.want(map[string][]int{strconv.FormatInt(w.limit, 10): {50, 80, 100}})
	for _, id := range w.budgets() {
		command(t, "--config", w.routers[0].config, "budgets", "update", id, "--requests", strconv.FormatInt(2*w.limit, 10))
	}
	w.want(map[string][]int{strconv.FormatInt(w.limit, 10): {50, 80, 100}, strconv.FormatInt(2*w.limit, 10): {50}})
	w.arrived()
	for _, c := range w.processes {
		quit(t, c)
	}
	clean(t, w.db, w.routers[0].config)
	t.Logf("%d requests, %d answered; %d alerts, each told once; %d calls of the receiver for them, of which it refused %d, let "+
		"wait %d and hung up on %d; killed %d routers", requests, w.answered.Load(), len(w.receiver.ids()),
		w.receiver.calls.Load(), w.receiver.refused.Load(),
		w.receiver.stalled.Load(), w.receiver.hung.Load(), w.killed)
}

// telling is three routers that send their alerts to one receiver.
type telling struct {
	t         *testing.T
	db        rowsOf
	limit     int64
	receiver  *receiver
	crowd     *crowd
	routers   []*program
	processes []*exec.Cmd
	where     []atomic.Pointer[string]
	answered  atomic.Int64
	killed    int
}

func newTelling(t *testing.T, limit int64) *telling {
	t.Helper()
	dsn := pgtest.DSN(t)
	w := &telling{
		t: t, db: pgtest.Connect(t, dsn), limit: limit, receiver: newReceiver(t), crowd: newCrowd(t),
		where: make([]atomic.Pointer[string], alertRouters),
	}
	b := newBiller(t, "up0")
	more := "alerts: {every: 1s, channels: [{name: hook, kind: webhook, private: true, address: \"" + w.receiver.URL +
		"\", secret: env:TALLYROUTE_TEST_HOOK_SECRET, kinds: [limit, forecast]}]}\n"
	for n := range alertRouters {
		p, c := spawnListening(t, billedConfig(t, dsn, more, b), 2)
		w.routers, w.processes = append(w.routers, p), append(w.processes, c)
		base := p.base()
		w.where[n].Store(&base)
	}
	return w
}

// use sends requests until the limit is used up. It kills one router when half of the limit is
// used, and another at four fifths.
func (w *telling) use(key string) {
	w.t.Helper()
	var clients sync.WaitGroup
	for n := range alertClients {
		clients.Go(func() { w.client(key, n) })
	}
	for n, share := range []int64{50, 80} {
		for began := time.Now(); w.answered.Load()*100 < w.limit*share && time.Since(began) < time.Hour && !w.t.Failed(); {
			<-time.After(20 * time.Millisecond)
		}
		w.kill(n)
	}
	clients.Wait()
}

// client sends requests until it has been refused three times.
func (w *telling) client(key string, n int) {
	for refused := 0; refused < 3 && !w.t.Failed(); n++ {
		answer, err := w.crowd.ask(w.t.Context(), question{base: *w.where[n%alertRouters].Load(), key: key, most: 1})
		switch {
		case err != nil || answer.status == http.StatusServiceUnavailable: // it was killed
			<-time.After(5 * time.Millisecond)
		case answer.status == http.StatusTooManyRequests:
			refused++
		case answer.status == http.StatusOK:
			w.answered.Add(1)
		default:
			w.t.Errorf("%d %s", answer.status, answer.body)
		}
	}
}

// kill kills a router and starts it again with its journal.
func (w *telling) kill(n int) {
	w.t.Helper()
	send(w.t, w.processes[n], syscall.SIGKILL)
	_ = w.processes[n].Wait() // it was killed
	w.routers[n], w.processes[n] = spawnListening(w.t, w.routers[n].config, 2)
	base := w.routers[n].base()
	w.where[n].Store(&base)
	w.killed++
}

// budgets returns the ids of the limits, the widest scope first.
func (w *telling) budgets() (ids []string) {
	for _, row := range w.db.Rows("SELECT id FROM budgets ORDER BY scope <> 'org', scope <> 'team'") {
		ids = append(ids, row[0])
	}
	return ids
}

// want waits for the alert of each threshold of each budget at these limits, and checks that
// there is exactly one of each and no other.
func (w *telling) want(thresholds map[string][]int) {
	w.t.Helper()
	var want []string
	for _, id := range w.budgets() {
		for limit, of := range thresholds {
			for _, percent := range of {
				want = append(want, fmt.Sprintf("%s requests %s %d", id, limit, percent))
			}
		}
	}
	slices.Sort(want)
	prove.Eventually(w.t, fmt.Sprintf("%d alerts", len(want)), func() bool { return len(w.told()) >= len(want) || w.t.Failed() })
	<-time.After(5 * time.Second) // a duplicate would arrive in this time
	if told := w.told(); !slices.Equal(told, want) {
		w.t.Errorf("told:\n%s\nwanted:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	for _, row := range w.db.Rows("SELECT text, remedy, owner FROM alerts WHERE kind = 'limit' AND data ->> 'scope' = 'key'") {
		if !strings.Contains(row[0], " of "+strconv.FormatInt(w.limit, 10)+" requests are used") && !strings.Contains(row[0], "of "+
			strconv.FormatInt(2*w.limit, 10)) || !strings.Contains(row[0], `key "test"`) || !strings.Contains(row[1], "budgets raise") ||
			row[2] != "ann@example.com" {
			w.t.Errorf("it says %v", row)
		}
	}
	for _, row := range w.db.Rows("SELECT object, data ->> 'unit', data ->> 'limit', count(*) FROM alerts WHERE kind = 'forecast' " +
		"GROUP BY 1, 2, 3 HAVING count(*) > 1") {
		w.t.Errorf("a forecast was told twice: %v", row)
	}
}

// told returns the limit alerts in the database.
func (w *telling) told() (all []string) {
	for _, row := range w.db.Rows("SELECT object, data ->> 'unit', data ->> 'limit', data ->> 'threshold' FROM alerts " +
		"WHERE kind = 'limit'") {
		all = append(all, strings.Join(row, " "))
	}
	slices.Sort(all)
	return all
}

// arrived waits until the receiver has confirmed every alert, and checks that it has seen the
// same ids as the database.
func (w *telling) arrived() {
	w.t.Helper()
	undelivered := func() int { return len(w.db.Rows("SELECT FROM alert_notices WHERE delivered_at IS NULL")) }
	for began := time.Now(); undelivered() > 0 && time.Since(began) < time.Hour; { // the pauses between tries grow
		<-time.After(time.Second)
	}
	if n := undelivered(); n > 0 {
		w.t.Errorf("%d are not delivered", n)
	}
	var ids []string
	for _, row := range w.db.Rows("SELECT id FROM alerts ORDER BY id") {
		ids = append(ids, row[0])
	}
	if got := w.receiver.ids(); !slices.Equal(got, ids) {
		w.t.Errorf("the receiver knows %v, the database %v", got, ids)
	}
	if dead := w.db.Rows("SELECT alert_id FROM alert_notices WHERE dead_at IS NOT NULL"); len(dead) > 0 {
		w.t.Errorf("given up: %v", dead)
	}
}

// receiver is a webhook as bad as any: of ten calls, on average, it refuses three, lets one time
// out, and hangs up on one after reading it.
type receiver struct {
	*httptest.Server
	t                             *testing.T
	calls, refused, stalled, hung atomic.Int64
	reliable                      bool // answers every call at once

	mu   sync.Mutex
	seen map[string]notify.Message
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, seen: make(map[string]notify.Message)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.seen))
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return // a router was killed
	}
	r.calls.Add(1)
	if r.reliable {
		r.take(req.Header, raw)
		return
	}
	switch rand.IntN(10) {
	case 0, 1, 2:
		r.refused.Add(1)
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	case 3:
		r.stalled.Add(1)
		<-req.Context().Done()
		return
	case 4:
		r.hung.Add(1)
		r.take(req.Header, raw)
		panic(http.ErrAbortHandler)
	}
	r.take(req.Header, raw)
}

// take checks that an alert is signed, and that it is the same as any earlier one with its id.
func (r *receiver) take(head http.Header, raw []byte) {
	sum := hmac.New(sha256.New, []byte(hookSecret))
	fmt.Fprintf(sum, "%s.%s", head.Get("X-Tallyroute-Timestamp"), raw)
	var m notify.Message
	if err := json.Unmarshal(raw, &m); err != nil || m.ID != head.Get("X-Tallyroute-Alert") ||
		head.Get("X-Tallyroute-Signature") != "v1="+hex.EncodeToString(sum.Sum(nil)) {
		r.t.Errorf("%v: not as it is signed: %v %s", err, head, raw)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, again := r.seen[m.ID]; again && (old.Text != m.Text || old.Object != m.Object) {
		r.t.Errorf("the same id has another text: %+v, %+v", old, m)
	}
	r.seen[m.ID] = m
}
