package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// A limit has a unit, a period, a scope and a part of what the scope uses. Every combination
// that exists is tried.
var (
	limitUnits   = []string{"requests", "tokens", "usd"}
	limitPeriods = []string{"minute", "day", "week", "month", "quarter", "year", "once", "concurrent"}
	limitScopes  = []string{"key", "project", "team"}
	limitParts   = []string{"", "model", "credential", "user", "end_user", "tag:job"}
)

const (
	limitRequests = 60 // about how many requests a limit has room for, whatever its unit
	limitSlots    = 12
	limitCases    = 8 // at a time
)

// limitCase is one limit that clients use up.
type limitCase struct {
	number                    int
	unit, period, scope, part string
	together                  bool // the names share the limit; otherwise each has it to itself
	limit                     int64

	callers []limitCaller
}

// limitCaller is what a client sends.
type limitCaller struct {
	name  string // whom its requests count for, unless the model or the credential decides that
	key   string
	model string
}

func (c *limitCase) String() string {
	what := c.scope
	if c.part != "" {
		what += "/" + c.part + map[bool]string{true: "/together", false: "/each"}[c.together]
	}
	return fmt.Sprintf("%s/%s/%s", c.unit, c.period, what)
}

// allLimits returns every kind of limit.
func allLimits() (all []*limitCase) {
	for _, unit := range limitUnits {
		for _, period := range limitPeriods {
			for _, scope := range limitScopes {
				for _, part := range limitParts {
					for _, together := range []bool{false, true} {
						if part == "" && together || period == "concurrent" && unit != "requests" {
							continue
						}
						c := &limitCase{number: len(all), unit: unit, period: period, scope: scope, part: part, together: together}
						c.limit = map[string]int64{"requests": 1, "tokens": raceAverage, "usd": raceAverage}[unit] * limitRequests
						if period == "concurrent" {
							c.limit = limitSlots
						}
						all = append(all, c)
					}
				}
			}
		}
	}
	return all
}

// TestLimitsAreExactOverRouters has 64 clients at each of three routers use up every kind of
// limit. What the provider sees never exceeds the limit, neither in a window nor, for a
// concurrency limit, at any one time. All of the limit can be used.
func TestLimitsAreExactOverRouters(t *testing.T) {
	if prove.Size(t, "LIMITS_EVERY", 0) == 0 {
		t.Skip("takes minutes: make proof-limits")
	}
	every := prove.Size(t, "LIMITS_EVERY", 1)
	g := newLimitsRig(t, "")
	turns := make(chan struct{}, limitCases)
	var cases sync.WaitGroup
	for i, c := range allLimits() {
		if i%every != 0 {
			continue
		}
		turns <- struct{}{}
		g.prepare(c)
		cases.Go(func() {
			defer func() { <-turns }()
			g.useUp(c)
		})
	}
	cases.Wait()
	for _, p := range g.routers {
		quit(t, p.process)
	}
	g.compare()
}

// limitsRig is three routers in front of one provider with two models and two credentials.
type limitsRig struct {
	t       *testing.T
	db      *pgtest.Session
	routers []limitsRouter
	client  *http.Client
	over    chan struct{} // closed when the waiting requests may be answered

	mu       sync.Mutex
	seen     map[string]*limitSeen // by the number of the case and the name that the calls count for
	answered map[string]int        // numbers of cases, by request id
	cases    []*limitCase
	people   map[string]string // user ids, by name
}

// limitSeen is what the provider saw for one name.
type limitSeen struct {
	requests, tokens, now, most int64
}

// limitsRouter is one of the routers.
type limitsRouter struct {
	*program
	process *exec.Cmd
}

func newLimitsRig(t *testing.T, more string) *limitsRig {
	t.Helper()
	g := &limitsRig{
		t: t, seen: make(map[string]*limitSeen), answered: make(map[string]int), people: make(map[string]string), over: make(chan struct{}),
	}
	up := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(up.Close)
	dir := t.TempDir()
	var credentials []string
	for _, name := range []string{"one", "two"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("credential-"+name), 0o600); err != nil {
			t.Fatal(err)
		}
		credentials = append(credentials, fmt.Sprintf("{name: %s, secret: %q}", name, "file:"+file))
	}
	provider := fmt.Sprintf("  up:\n    adapter: openai\n    base_url: %s/v1\n    private: true\n    credentials: [%s]\n    models:\n",
		up.URL, strings.Join(credentials, ", "))
	for _, model := range []string{"m", "n"} {
		provider += "      - {id: " + model + ", context: 400000, max_output: 4096, can: [stream], tokenizer: {encoding: o200k_base}, " +
			`prices: [{since: 2026-01-01, prompt: "1.00", completion: "1.00"}]}` + "\n"
	}
	dsn := pgtest.DSN(t)
	g.db = pgtest.Connect(t, dsn)
	for range raceRouters {
		p, c := spawnListening(t, billedConfig(t, dsn, provider+more), 2)
		g.routers = append(g.routers, limitsRouter{p, c})
	}
	for _, name := range []string{"ann", "bob"} {
		command(t, "--config", g.routers[0].config, "principals", "create", "--user", name, "--email", name+"@shop.example")
		g.people[name] = g.db.Rows("SELECT id FROM principals WHERE name = '" + name + "'")[0][0]
	}
	transport := &http.Transport{MaxIdleConnsPerHost: limitCases * raceClients, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	g.client = &http.Client{Transport: transport}
	return g
}

// serve acts as the provider. It counts a call as over before the caller can know that it is.
func (g *limitsRig) serve(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Model    string `json:"model"`
		Most     int64  `json:"max_tokens"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Content string `json:"content"`
		} `json:"messages"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &ask)
	}
	if err != nil || len(ask.Messages) == 0 {
		http.Error(w, "not what the clients send", http.StatusNotImplemented)
		return
	}
	number, name, _ := strings.Cut(strings.Fields(ask.Messages[0].Content)[0], "/")
	words := 1 + ask.Most/2
	tokens := promptTokens + words
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer credential-")
	of := g.begins(number, name, ask.Model, credential, tokens)
	if strings.Contains(ask.Messages[0].Content, waiting) {
		select {
		case <-g.over:
		case <-r.Context().Done():
			g.ends(of)
			return
		}
	}
	<-time.After(3 * time.Millisecond)
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, promptTokens, words, tokens)
	if ask.Stream {
		w.Header().Set("Content-Type", "text/event-stream")
		for range words {
			fmt.Fprintf(w, "data: %s\n\n", strings.Replace(attackWord, "hello there", "word ", 1))
		}
		_ = http.NewResponseController(w).Flush()
		<-time.After(2 * time.Millisecond)
		g.ends(of)
		fmt.Fprintf(w, "data: %s\n\ndata: %s\"choices\":[],%s\n\ndata: [DONE]\n\n", attackFinish, attackHead, usage)
		return
	}
	g.ends(of)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"m","choices":[{"index":0,`+
		`"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],%s`, strings.Repeat("word ", int(words)), usage)
}

// begins counts a call under the name that it is limited by.
func (g *limitsRig) begins(number, name, model, credential string, tokens int64) *limitSeen {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, _ := strconv.Atoi(number)
	i := slices.IndexFunc(g.cases, func(c *limitCase) bool { return c.number == n })
	switch c := g.cases[i]; {
	case c.part == "" || c.together:
		name = ""
	case c.part == "model":
		name = model
	case c.part == "credential":
		name = credential
	}
	key := number + "/" + name
	of := g.seen[key]
	if of == nil {
		of = &limitSeen{}
		g.seen[key] = of
	}
	of.requests++
	of.tokens += tokens
	of.now++
	of.most = max(of.most, of.now)
	return of
}

func (g *limitsRig) ends(of *limitSeen) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of.now--
}

// prepare creates the keys of a case and sets its limit. A key has only one owner and one set of
// tags, so where the scope is a key, the callers differ in the temporary keys that it is
// exchanged for.
func (g *limitsRig) prepare(c *limitCase) {
	g.t.Helper()
	team := fmt.Sprintf("team%d", c.number)
	for i, name := range []string{"ann", "bob"} {
		caller := limitCaller{name: name, model: []string{"m", "n"}[i]}
		if c.scope == "key" && i > 0 {
			caller.key = c.callers[0].key
		} else {
			caller.key = g.key(c, team, name)
		}
		c.callers = append(c.callers, caller)
	}
	of := map[string]string{"team": team, "project": team + "/app", "key": g.keyOf(team)}[c.scope]
	limit := fmt.Sprint(c.limit)
	if c.unit == "usd" {
		limit = millionths(c.limit)
	}
	flags := []string{"--config", g.routers[0].config, "budgets", "set", c.scope, of, "--" + c.unit, limit, "--period", c.period}
	if c.part != "" {
		flags = append(flags, "--part", c.part)
	}
	switch {
	case !c.together:
	case c.part == "model":
		flags = append(flags, "--named", "*")
	case c.part == "credential":
		flags = append(flags, "--named", "up")
	case c.part == "user": // here and below, the limit is that of one name, which all callers have
		flags, c.callers = append(flags, "--named", g.people["ann"]), c.callers[:1]
	default:
		flags, c.callers = append(flags, "--named", "ann"), c.callers[:1]
	}
	command(g.t, flags...)
	for i := range c.callers {
		if c.part == "end_user" || c.part == "tag:job" && c.scope == "key" {
			c.callers[i].key = g.exchanged(c.callers[i])
		}
		if c.part == "user" && c.scope == "key" {
			c.callers[i].name = "ann"
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cases = append(g.cases, c)
}

// key creates a key for a caller with the given name.
func (g *limitsRig) key(c *limitCase, team, name string) string {
	project := "app"
	if c.scope == "team" {
		project += name
	}
	flags := []string{"--team", team, "--project", project, "--name", name}
	if c.part == "tag:job" && c.scope != "key" {
		flags = append(flags, "--tags", "job="+name)
	}
	key := g.routers[0].key(flags...)
	if c.part == "user" {
		g.db.Exec(fmt.Sprintf("UPDATE api_keys SET owner_id = '%s' WHERE id = '%s'", g.people[name], g.keyOf(team)))
	}
	return key
}

// keyOf returns the id of the newest key of a team.
func (g *limitsRig) keyOf(team string) string {
	return g.db.Rows("SELECT k.id FROM api_keys k JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id " +
		"WHERE t.name = '" + team + "' ORDER BY k.created_at DESC LIMIT 1")[0][0]
}

// exchanged returns a temporary key made from the key of a caller.
func (g *limitsRig) exchanged(c limitCaller) string {
	body := fmt.Sprintf(`{"expires_in":3600,"end_user":%q,"tags":{"job":%q}}`, c.name, c.name)
	status, _, answer, err := g.ask(g.routers[0].base()+"/v1/key/tokens", c.key, body)
	if err != nil {
		g.t.Fatal(err)
	}
	var made struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || made.Token == "" {
		g.t.Fatalf("no temporary key: %d %s", status, answer)
	}
	return made.Token
}

func (g *limitsRig) ask(url, key, body string) (status int, header http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

// useUp has the clients send requests until they are refused, and then one client until nothing
// is left: what one router has but does not need must reach the others.
func (g *limitsRig) useUp(c *limitCase) {
	var clients sync.WaitGroup
	for n := range raceRouters * raceClients {
		random := rand.New(rand.NewPCG(uint64(c.number), uint64(n)))
		clients.Go(func() {
			for tries, refusals := 0, 0; refusals < 2 && !g.t.Failed() && (c.period != "concurrent" || tries < 6); tries++ {
				if !g.request(c, n, random.IntN(raceRouters), random) {
					refusals++
				}
			}
		})
	}
	clients.Wait()
	if c.period == "concurrent" || c.period == "minute" {
		return
	}
	random := rand.New(rand.NewPCG(uint64(c.number), 1))
	least := int64(1) // the least that a request holds
	if c.unit != "requests" {
		least = raceHold
	}
	for n := 0; !g.t.Failed() && g.left(c) >= least; n++ {
		if n > 1000 {
			g.t.Errorf("%s: %d are left, and nobody gets them", c, g.left(c))
		}
		g.request(c, n, n%raceRouters, random)
	}
}

// request asks a router for one answer, and reports whether it was admitted.
func (g *limitsRig) request(c *limitCase, n, router int, random *rand.Rand) bool {
	caller := c.callers[n%len(c.callers)]
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":%d,"messages":[{"role":"user","content":"%d/%s %s"}]}`, caller.model,
		random.IntN(2) == 0, 1+random.Int64N(raceMost), c.number, caller.name, proofPrompt)
	status, header, answer, err := g.ask(g.routers[router].base()+"/v1/chat/completions", caller.key, body)
	switch {
	case err != nil:
		g.t.Error(err)
		return false
	case status == http.StatusOK:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.answered[header.Get("X-Request-Id")] = c.number
		return true
	case status == http.StatusTooManyRequests:
		after, _ := strconv.Atoi(header.Get("Retry-After"))
		if passes := c.period == "minute" || c.period == "concurrent"; passes != (after > 0 && after <= 60) {
			g.t.Errorf("%s: refused with Retry-After %d: %s", c, after, answer)
		}
		return false
	}
	g.t.Errorf("%s: %d %s", c, status, answer)
	return false
}

// names returns the names that each have the limit of a case to themselves.
func (c *limitCase) names() []string {
	switch {
	case c.part == "" || c.together:
		return []string{""}
	case c.part == "model":
		return []string{"m", "n"}
	case c.part == "credential":
		return []string{"one", "two"}
	case c.part == "user" && c.scope == "key":
		return []string{"ann"}
	}
	return []string{"ann", "bob"}
}

// left returns how much of a limit is unused, for the name that has the most of it left.
func (g *limitsRig) left(c *limitCase) (most int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range c.names() {
		used := int64(0)
		if of := g.seen[fmt.Sprintf("%d/%s", c.number, name)]; of != nil {
			used = of.used(c)
		}
		most = max(most, c.limit-used)
	}
	return most
}

func (s *limitSeen) used(c *limitCase) int64 {
	if c.unit == "requests" {
		return s.requests
	}
	return s.tokens
}

// compare checks what the provider saw against the limits, and the ledger against both.
func (g *limitsRig) compare() {
	minutes := make(map[int]map[string]bool)
	for _, row := range g.db.Rows("SELECT request_id, date_trunc('minute', occurred_at)::text, status FROM spend_events " +
		"WHERE kind = 'usage'") {
		number, ok := g.answered[row[0]]
		if !ok || row[2] != "ok" {
			g.t.Errorf("a row of a request that nobody had answered: %v", row)
			continue
		}
		if minutes[number] == nil {
			minutes[number] = make(map[string]bool)
		}
		minutes[number][row[1]] = true
	}
	passed := 0
	for _, c := range g.cases {
		windows := int64(1)
		if c.period == "minute" {
			windows = int64(len(minutes[c.number]))
		}
		for _, name := range c.names() {
			of := g.seen[fmt.Sprintf("%d/%s", c.number, name)]
			switch {
			case of == nil:
				g.t.Errorf("%s: nothing was asked for %q", c, name)
			case c.period == "concurrent" && of.most > c.limit:
				g.t.Errorf("%s: %d were under way at once for %q, of %d", c, of.most, name, c.limit)
			case c.period != "concurrent" && of.used(c) > c.limit*windows:
				g.t.Errorf("%s: %d were used for %q in %d windows of %d", c, of.used(c), name, windows, c.limit)
			default:
				passed++
			}
		}
	}
	g.t.Logf("%d kinds of limits, %d counters, none passed by %d requests", len(g.cases), passed, len(g.answered))
	if over := g.db.Rows("SELECT request_id FROM spend_events WHERE overrun_tokens <> 0 OR overrun_nano <> 0"); len(over) > 0 {
		g.t.Errorf("used more than was held: %v", over)
	}
	clean(g.t, g.db, g.routers[0].config)
}
