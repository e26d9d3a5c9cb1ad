package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tallyroute/billing"
	"tallyroute/router"
)

// TestLabelsAreBounded: names that clients make up don't create series.
func TestLabelsAreBounded(t *testing.T) {
	m := New("test")
	for range 1000 {
		m.Observe(router.Record{Event: router.EventRequest, Status: billing.StatusError, Refusal: "model", Err: errors.New("no such")})
	}
	if n := testutil.CollectAndCount(m.requests); n != 1 {
		t.Errorf("%d series", n)
	}
	if got := testutil.ToFloat64(m.requests.WithLabelValues("unknown", "error", "false")); got != 1000 {
		t.Errorf("counted %v as unknown", got)
	}
}

func TestMetricsOfAnAnswer(t *testing.T) {
	m := New("test")
	stated := billing.Money(99_999)
	rows := []billing.Spend{
		{Provider: "a", Model: "m", ErrorKind: "overload", Tokens: billing.Tokens{Input: 8}, Cost: billing.Cost{Total: 800}},
		{
			Provider: "b", Model: "m", Tokens: billing.Tokens{Input: 10, Output: 5}, Cost: billing.Cost{Total: 1234},
			Disputed: true, ProviderCost: &stated, OverrunTokens: 3, OverrunMoney: 7,
		},
	}
	m.Observe(router.Record{Event: router.EventBooked, Rows: rows})
	m.Observe(router.Record{
		Event: router.EventRequest, RequestedModel: "auto", Status: billing.StatusOK, Streamed: true,
		Rows: rows, Total: time.Second, Overhead: time.Millisecond, FirstByte: time.Second / 2,
	})
	for name, got := range map[string]float64{
		"requests": testutil.ToFloat64(m.requests.WithLabelValues("auto", "ok", "true")) - 1,
		"failed":   testutil.ToFloat64(m.attempts.WithLabelValues("a", "m", "overload")) - 1,
		"answered": testutil.ToFloat64(m.attempts.WithLabelValues("b", "m", "")) - 1,
		"charged":  testutil.ToFloat64(m.cost.WithLabelValues("a", "m")) - 800,
		"disputed": testutil.ToFloat64(m.doubts.disputed.WithLabelValues("b", "m")) - 1,
		"differs":  testutil.ToFloat64(m.doubts.differs.WithLabelValues("b", "m")) - 1,
		"input":    testutil.ToFloat64(m.tokens.WithLabelValues("b", "m", "input")) - 10,
		"output":   testutil.ToFloat64(m.tokens.WithLabelValues("b", "m", "output")) - 5,
		"cost":     testutil.ToFloat64(m.cost.WithLabelValues("b", "m")) - 1234,
		"overruns": testutil.ToFloat64(m.doubts.overruns.WithLabelValues("b", "m")) - 1,
		"beyond":   testutil.ToFloat64(m.doubts.tokens.WithLabelValues("b", "m")) - 3,
		"dearer":   testutil.ToFloat64(m.doubts.cost.WithLabelValues("b", "m")) - 7,
	} {
		if got != 0 {
			t.Errorf("%s is off by %v", name, got)
		}
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestBudgetsAreToldByNameAndUnit, as they were last seen.
func TestBudgetsAreToldByNameAndUnit(t *testing.T) {
	m := New("test")
	if n := testutil.CollectAndCount(m.budgets); n != 0 {
		t.Errorf("%d series before budgets were looked at", n)
	}
	tokens, money, requests := int64(100), billing.Money(5), int64(9)
	m.Budgets(7, []Budget{{Of: "web", Balance: billing.Balance{
		Budget:     billing.Budget{ID: "bud_1", Scope: billing.ScopeTeam, Period: billing.PeriodMonth, Tokens: &tokens, Money: &money, Requests: &requests},
		UsedTokens: 80, HeldTokens: 3, UsedMoney: 4, HeldMoney: 1, UsedRequests: 6, HeldRequests: 2,
	}}})
	const labels = `budget="bud_1",of="web",period="month",scope="team"`
	want := ""
	for _, name := range []struct {
		name                    string
		tokens, money, requests int
	}{{"held", 3, 1, 2}, {"limit", 100, 5, 9}, {"used", 80, 4, 6}} {
		want += fmt.Sprintf("tallyroute_budget_%s{%s,unit=%q} %d\n", name.name, labels, "nano_usd", name.money)
		want += fmt.Sprintf("tallyroute_budget_%s{%s,unit=%q} %d\n", name.name, labels, "requests", name.requests)
		want += fmt.Sprintf("tallyroute_budget_%s{%s,unit=%q} %d\n", name.name, labels, "tokens", name.tokens)
	}
	var got string
	for _, line := range strings.SplitAfter(read(t, m), "\n") {
		if strings.HasPrefix(line, "tallyroute_budget_") {
			got += line
		}
	}
	if got != want || !strings.Contains(read(t, m), "tallyroute_budgets 7\n") {
		t.Errorf("%s; want %s", got, want)
	}
}

func read(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// TestExamplesAskForMetricsThatExist: the alerts and the dashboard name metrics and
// labels that a router has.
func TestExamplesAskForMetricsThatExist(t *testing.T) {
	m := New("test")
	m.WatchHolds(nil, nil)
	m.WatchHealth(nil)
	m.WatchLedger(nil, nil)
	m.WatchSecrets(nil)
	m.WatchCertificates(nil)
	m.WatchAccess(nil)
	there := make(map[string]string) // names to labels
	descs := make(chan *prometheus.Desc)
	go func() { m.registry.Describe(descs); close(descs) }()
	named := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	for d := range descs {
		if found := named.FindStringSubmatch(d.String()); found != nil {
			there[found[1]] = "," + found[2] + ","
		}
	}
	asked := regexp.MustCompile(`(tallyroute_\w+)(?:\{(\w+)[=!]+"[^"]*"\})?`)
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		text, err := os.ReadFile("../../../examples/monitoring/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all := asked.FindAllStringSubmatch(strings.ReplaceAll(string(text), `\"`, `"`), -1)
		if len(all) < 10 {
			t.Errorf("%s: %d metrics", name, len(all))
		}
		for _, found := range all {
			labels, ok := there[strings.TrimSuffix(found[1], "_bucket")]
			if !ok || found[2] != "" && !strings.Contains(labels, ","+found[2]+",") {
				t.Errorf("%s: there is no %s", name, found[0])
			}
		}
	}
}
